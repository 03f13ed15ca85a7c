//! What the carriers of trunks tell by HTTP.

use chrono::Utc;

use super::{Error, Gateway, Kind};
use crate::call::{Kept, NotTaken, read_notice, verify_notice};

impl Gateway {
    /// Takes what somebody tells who says that they are the carrier of this trunk; `header` finds a header by its name.
    ///
    /// # Errors
    /// `signature_invalid` and `timestamp_invalid` (unauthorized), `not_found` for a trunk, number or message that is not here, `invalid`
    /// for a body that cannot be read, `no_capacity` for what should be told again.
    pub async fn told_by_carrier<'a>(
        &self,
        trunk: &str,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
    ) -> Result<Kept, Error> {
        let settings = self.exchange.config.trunk(trunk).and_then(|trunk| trunk.messages.as_ref());
        let inbound = settings.and_then(|settings| settings.inbound.as_ref());
        let inbound = inbound.ok_or_else(|| Error::missing("carrier", format!("{trunk:?}")))?;
        let not_taken = |why| {
            tracing::warn!(trunk, %why, "what a carrier tells is not taken");
            refused(why)
        };
        verify_notice(&inbound.proof, &header, body, Utc::now()).map_err(not_taken)?;
        let proof = header(inbound.proof.header()).unwrap_or_default();
        let kind = header("content-type").unwrap_or_default();
        let notice = read_notice(inbound, kind, proof, body).map_err(not_taken)?;
        self.switchboard.told(trunk.to_owned(), notice).await.map_err(not_taken)
    }
}

fn refused(why: NotTaken) -> Error {
    let text = why.to_string();
    match why {
        NotTaken::NotProven(_) => Error::coded(Kind::Unauthorized, "signature_invalid", text),
        NotTaken::OutOfTime(_) => Error::coded(Kind::Unauthorized, "timestamp_invalid", text),
        NotTaken::Unreadable | NotTaken::Missing(_) => Error::new(Kind::Invalid, text),
        NotTaken::NoSuchNumber(_) | NotTaken::NoSuchMessage => Error::new(Kind::NotFound, text),
        NotTaken::Later => Error::new(Kind::Busy, text),
    }
}
