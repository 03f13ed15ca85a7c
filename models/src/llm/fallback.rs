//! Two minds for one answer: the second is asked when the first has failed or is late.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Delta, Generator, LlmError, Prompt};

/// A mind, and another in its place. Where the first fails before its first piece, the second is asked, which
/// [`Delta::Fallback`] tells; where it is late, the second is asked beside it, and whichever speaks first answers. What
/// has begun to speak goes on alone, whatever comes of it: two minds would not say the same.
pub struct Fallback {
    first: Arc<dyn Generator>,
    second: Arc<dyn Generator>,
    patience: Duration,
}

impl Fallback {
    /// `patience`: from the request to the first piece.
    pub fn new(first: Arc<dyn Generator>, second: Arc<dyn Generator>, patience: Duration) -> Fallback {
        Fallback { first, second, patience }
    }
}

type Deltas = BoxStream<'static, Result<Delta, LlmError>>;

enum Race {
    /// Nobody has spoken yet.
    Open(Box<Open>),
    Won(Deltas),
    Over,
}

struct Open {
    first: Option<Deltas>,
    second: Option<Deltas>,
    /// The second mind and what it would be asked; absent once it is.
    waiting: Option<(Arc<dyn Generator>, Prompt)>,
    late: Pin<Box<Sleep>>,
    patience: Duration,
    error: Option<LlmError>,
}

enum Came {
    First(Option<Result<Delta, LlmError>>),
    Second(Option<Result<Delta, LlmError>>),
    Late,
}

impl Open {
    /// Asks the second mind.
    fn turn_to_the_second(&mut self, because: String) -> Option<Delta> {
        let (second, prompt) = self.waiting.take()?;
        self.second = Some(second.generate(prompt));
        Some(Delta::Fallback { because })
    }

    async fn came(&mut self) -> Came {
        let Open { first, second, late, waiting, .. } = self;
        tokio::select! {
            biased;
            delta = of(first) => Came::First(delta),
            delta = of(second) => Came::Second(delta),
            () = late, if waiting.is_some() => Came::Late,
        }
    }
}

/// The next piece; never, where nobody was asked.
async fn of(deltas: &mut Option<Deltas>) -> Option<Result<Delta, LlmError>> {
    match deltas {
        Some(deltas) => deltas.next().await,
        None => std::future::pending().await,
    }
}

impl Race {
    async fn next(self) -> Option<(Result<Delta, LlmError>, Race)> {
        let mut open = match self {
            Race::Open(open) => open,
            Race::Won(mut deltas) => return deltas.next().await.map(|delta| (delta, Race::Won(deltas))),
            Race::Over => return None,
        };
        loop {
            let (delta, is_first) = match open.came().await {
                Came::First(delta) => (delta, true),
                Came::Second(delta) => (delta, false),
                Came::Late => {
                    let because = format!("no answer within {:?}", open.patience);
                    match open.turn_to_the_second(because) {
                        Some(delta) => return Some((Ok(delta), Race::Open(open))),
                        None => continue,
                    }
                }
            };
            let deltas = if is_first { open.first.take() } else { open.second.take() };
            match delta {
                Some(Ok(delta)) => return Some((Ok(delta), deltas.map_or(Race::Over, Race::Won))),
                Some(Err(error)) => open.error = Some(error),
                None => {}
            }
            let because = open.error.as_ref().map_or_else(|| "it said nothing".into(), ToString::to_string);
            if let Some(delta) = open.turn_to_the_second(because) {
                return Some((Ok(delta), Race::Open(open)));
            }
            if open.first.is_none() && open.second.is_none() {
                return open.error.take().map(|error| (Err(error), Race::Over));
            }
        }
    }
}

impl Generator for Fallback {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        let race = Race::Open(Box::new(Open {
            first: Some(self.first.generate(prompt.clone())),
            second: None,
            waiting: Some((self.second.clone(), prompt)),
            late: Box::pin(sleep_until(Instant::now() + self.patience)),
            patience: self.patience,
            error: None,
        }));
        stream::unfold(race, Race::next).boxed()
    }

    fn prefill(&self, prompt: Prompt) -> BoxFuture<'static, Result<(), LlmError>> {
        self.first.prefill(prompt)
    }

    fn may_be_asked_ahead(&self) -> bool {
        self.first.may_be_asked_ahead() && self.second.may_be_asked_ahead()
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use super::*;
    use crate::fake::{FakeGenerator, calling};
    use crate::{EngineError, FinishReason, Usage};

    const PATIENCE: Duration = Duration::from_secs(3);

    fn down() -> LlmError {
        EngineError::EngineDown { engine: "llama", detail: "no model".into() }.into()
    }

    fn text(text: &str) -> Result<Delta, LlmError> {
        Ok(Delta::Text(text.into()))
    }

    /// What is said, with "|" where the other mind was asked and "!" for an error; and who was asked how often.
    async fn told(first: FakeGenerator, second: FakeGenerator) -> (String, usize, usize) {
        let asked = (first.asked.clone(), second.asked.clone());
        let mind = Fallback::new(Arc::new(first), Arc::new(second), PATIENCE);
        let deltas: Vec<_> = mind.generate(Prompt::new(Vec::new())).collect().await;
        let said = deltas.iter().map(|delta| match delta {
            Ok(Delta::Text(text)) => text.clone(),
            Ok(Delta::ToolCall(call)) => format!("{}()", call.name),
            Ok(Delta::Fallback { .. }) => "|".into(),
            Ok(Delta::Done { .. }) => ".".into(),
            Err(_) => "!".into(),
        });
        (said.collect(), asked.0.count(), asked.1.count())
    }

    fn second() -> FakeGenerator {
        FakeGenerator::says(["other"])
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_is_asked_only_where_the_first_does_not_speak() {
        assert_eq!(told(FakeGenerator::says(["one"]), second()).await, ("one.".into(), 1, 0));
        assert_eq!(
            told(FakeGenerator::script([vec![Err(down())]]), second()).await,
            ("|other.".into(), 1, 1)
        );
        assert_eq!(told(FakeGenerator::script([vec![]]), second()).await, ("|other.".into(), 1, 1));
        let broken = FakeGenerator::script([vec![text("half"), Err(down())]]);
        assert_eq!(told(broken, second()).await, ("half!".into(), 1, 0));
        let tool = FakeGenerator::script([calling("", &[("wait", serde_json::json!({}))])]);
        assert_eq!(told(tool, second()).await, ("wait().".into(), 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_that_were_asked_the_one_that_speaks_first_answers() {
        let begun = Instant::now();
        let slow = FakeGenerator::says(["late"]).delayed(Duration::from_secs(60));
        assert_eq!(told(slow, second()).await, ("|other.".into(), 1, 1));
        assert_eq!(begun.elapsed(), PATIENCE);
        let slow = FakeGenerator::says(["late"]).delayed(PATIENCE + Duration::from_millis(100));
        let slower = second().delayed(Duration::from_secs(1));
        assert_eq!(told(slow, slower).await, ("|late.".into(), 1, 1));
        let slow = FakeGenerator::says(["late"]).delayed(PATIENCE + Duration::from_millis(100));
        assert_eq!(told(slow, FakeGenerator::script([vec![Err(down())]])).await, ("|late.".into(), 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn where_both_fail_the_error_is_the_last_ones() {
        let fails = || FakeGenerator::script([vec![Err(down())]]);
        assert_eq!(told(fails(), fails()).await, ("|!".into(), 1, 1));
        let done = Delta::Done { reason: FinishReason::Stop, usage: Usage::default() };
        let empty = FakeGenerator::script([vec![Ok(done)]]);
        assert_eq!(told(empty, second()).await, (".".into(), 1, 0));
    }
}
