//! How the next token of a reply is chosen: the sampling that was asked for, within the rules that were given.

use std::time::SystemTime;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use models::wire::{Failure, Generate};

pub(crate) struct Choice {
    sampler: LlamaSampler,
    /// What holds now.
    rules: Option<LlamaSampler>,
}

impl Choice {
    pub(crate) fn new(vocab: i32, task: &Generate) -> Choice {
        Choice { sampler: sampler(vocab, task), rules: None }
    }

    /// From now on what is written obeys these rules, from their beginning on.
    pub(crate) fn obey(&mut self, model: &LlamaModel, rules: &str) -> Result<(), Failure> {
        let rules = LlamaSampler::grammar(model, rules, "root");
        self.rules = Some(rules.map_err(|e| Failure::new("grammar", e))?);
        Ok(())
    }

    /// The next token, and that it was chosen is remembered.
    pub(crate) fn next(&mut self, context: &LlamaContext<'_>, at: i32) -> Result<LlamaToken, Failure> {
        let Some(rules) = &mut self.rules else { return Ok(self.sampler.sample(context, at)) };
        let mut all = context.token_data_array_ith(at);
        all.apply_sampler(&mut self.sampler);
        // Looking one token up in the rules is cheap, all of them is not, and mostly the first choice obeys.
        let free = all.selected_token().filter(|token| allows(rules, *token));
        let token = match free {
            Some(token) => token,
            None => {
                let mut allowed = context.token_data_array_ith(at);
                allowed.apply_sampler(rules);
                // A nucleus is made of what is allowed alone.
                allowed.data.retain(|token| token.logit().is_finite());
                allowed.apply_sampler(&mut self.sampler);
                allowed
                    .selected_token()
                    .filter(|token| allows(rules, *token))
                    .ok_or_else(|| Failure::new("grammar", "no token obeys the rules"))?
            }
        };
        self.sampler.accept(token);
        // It was looked up: a token against the rules would end the process.
        rules.accept(token);
        Ok(token)
    }
}

fn allows(rules: &mut LlamaSampler, token: LlamaToken) -> bool {
    let mut one = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 1.0, 0.0)], false);
    one.apply_sampler(rules);
    one.data.first().is_some_and(|token| token.logit().is_finite())
}

fn sampler(vocab: i32, task: &Generate) -> LlamaSampler {
    let bounded =
        |x: f32, low: f32, high: f32, usual: f32| if x.is_finite() { x.clamp(low, high) } else { usual };
    let mut chain = vec![LlamaSampler::penalties(
        vocab,
        task.repeat_window.min(4096) as i32,
        bounded(task.repeat_penalty, 0.5, 3.0, 1.0),
        bounded(task.frequency_penalty, -2.0, 2.0, 0.0),
        bounded(task.presence_penalty, -2.0, 2.0, 0.0),
    )];
    if task.temperature > 0.0 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.subsec_nanos());
        chain.extend([
            LlamaSampler::top_k(task.top_k.min(10_000) as i32),
            LlamaSampler::top_p(bounded(task.top_p, 0.01, 1.0, 1.0), 1),
            LlamaSampler::temp(bounded(task.temperature, 0.01, 5.0, 1.0)),
            LlamaSampler::dist(task.seed.unwrap_or(now)),
        ]);
    } else {
        chain.push(LlamaSampler::greedy());
    }
    LlamaSampler::chain_simple(chain)
}
