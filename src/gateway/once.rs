//! What a client wants done once, however often it asks.

use chrono::Utc;

use super::{Error, Gateway, Kind};
use crate::domain::Principal;
use crate::store::{Begun, KeptAnswer};

/// Letters of the key that a client chooses.
const LONGEST_KEY: usize = 255;

/// Whether a request is to be carried out.
pub enum Once {
    /// Yes; then [`Gateway::finish_once`].
    First,
    /// It was, and this was the answer.
    Answered(KeptAnswer),
}

impl Gateway {
    /// `fingerprint` says what is asked: the same key with another one is a mistake of the client's.
    pub async fn begin_once(&self, who: &Principal, key: &str, fingerprint: String) -> Result<Once, Error> {
        if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = format!("must be 1 to {LONGEST_KEY} visible ASCII letters, as in a UUID");
            return Err(Error::field("Idempotency-Key", reason));
        }
        let conflict = |code, public| Err(Error::coded(Kind::Conflict, code, public));
        let (account, key, process) = (who.account.clone(), key.to_owned(), self.process);
        let begin = self
            .read(move |store| store.begin_once(&account, &key, &fingerprint, process, Utc::now()))
            .await?;
        match begin {
            Begun::First => Ok(Once::First),
            Begun::Answered(answer) => Ok(Once::Answered(answer)),
            Begun::Running => {
                let running =
                    "a request with this Idempotency-Key is being carried out; ask again for its answer";
                let error = Error::coded(Kind::Conflict, "idempotency_in_progress", running);
                Err(Error { retry_after: Some(std::time::Duration::from_secs(1)), ..error })
            }
            Begun::Different => conflict(
                "idempotency_conflict",
                "this Idempotency-Key was used for another request within a day; every new request needs a new one",
            ),
            Begun::Interrupted => conflict(
                "idempotency_interrupted",
                "a request with this Idempotency-Key was cut off when the gateway ended; look at the list whether it took effect, \
                 and ask with a new key if not",
            ),
        }
    }

    /// `None`: it came to nothing, and may be asked again.
    pub async fn finish_once(&self, who: &Principal, key: &str, answer: Option<KeptAnswer>) {
        let (account, key) = (who.account.clone(), key.to_owned());
        let written = self.read(move |store| match answer {
            Some(answer) => store.answer_once(&account, &key, &answer),
            None => store.forget_once(&account, &key),
        });
        // The answer is given all the same. Whoever asks again is told that it is being carried out, and does not ring twice.
        if let Err(error) = written.await {
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
        }
    }
}
