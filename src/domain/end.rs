//! Why a call ended: one table of reasons, faults and SIP statuses.

use serde::{Deserialize, Serialize};

/// Whose doing the end was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nobody's: the call came to its natural end.
    None,
    Caller,
    /// The person or machine that we called.
    Callee,
    Carrier,
    /// A model or a brain behind a URL.
    Model,
    Ours,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $code:tt $fault:ident $status:literal;)*) => {
        /// Every way in which a call ends. The code is stable: clients match on it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum EndReason { $($(#[$doc])* #[serde(rename = $code)] $name,)* }

        impl EndReason {
            /// All of them, in the order of the table.
            pub const ALL: &'static [EndReason] = &[$(EndReason::$name,)*];

            pub fn code(self) -> &'static str {
                match self { $(EndReason::$name => $code,)* }
            }

            pub fn fault(self) -> Fault {
                match self { $(EndReason::$name => Fault::$fault,)* }
            }

            /// What the other side is told where the call was not yet answered (RFC 3261 §21).
            pub fn sip_status(self) -> u16 {
                match self { $(EndReason::$name => $status,)* }
            }
        }
    };
}

reasons! {
    /// The caller of an inbound call hung up.
    CallerHungUp "caller_hung_up" None 487;
    /// The one whom we called hung up.
    CalleeHungUp "callee_hung_up" None 487;
    /// The agent said goodbye and hung up.
    AgentHungUp "agent_hung_up" None 480;
    /// A client of the API hung up.
    ApiHungUp "api_hung_up" None 480;
    /// The call was handed on to somebody else (REFER); it goes on without us.
    Transferred "transferred" None 480;
    /// The one whom the call was put through to hung up.
    TargetHungUp "target_hung_up" None 480;
    /// The caller gave up before an answer (CANCEL).
    CallerCanceled "caller_canceled" None 487;
    /// A client of the API withdrew a call before its answer.
    ApiCanceled "api_canceled" None 487;
    MaxDuration "max_duration" None 480;
    /// The account's credits were used up.
    OutOfCredits "out_of_credits" None 480;
    /// A key, an account or the box had spent what it may.
    SpendLimit "spend_limit" None 480;
    /// A call that waited too long for its turn: calls may not go out at this hour.
    OutsideHours "outside_hours" None 480;
    /// The guards forbid the number.
    Guarded "destination_refused" None 403;
    /// Nobody said a word, several prompts long.
    CallerSilent "caller_silent" Caller 480;
    Busy "busy" Callee 486;
    NoAnswer "no_answer" Callee 480;
    Declined "declined" Callee 603;
    /// No such number at the far end (404, 410, 484, 604).
    Unreachable "unreachable" Callee 404;
    /// The number called is none of ours.
    UnknownNumber "unknown_number" Caller 404;
    /// No codec in common (RFC 3261 §13.3.1.3).
    NoCommonCodec "no_common_codec" Caller 488;
    /// Every line, port or permit is taken.
    NoCapacity "no_capacity" Ours 503;
    ShuttingDown "shutting_down" Ours 503;
    /// The carrier refused, failed or vanished.
    TrunkFailed "trunk_failed" Carrier 503;
    /// No packet of sound for too long.
    MediaLost "media_lost" Carrier 480;
    /// 200 was never acknowledged (RFC 3261 §13.3.1.4).
    NoAck "no_ack" Carrier 408;
    /// The brain failed too often in a row.
    BrainFailed "brain_failed" Model 503;
    /// Speech could not be heard or made.
    EngineFailed "engine_failed" Model 503;
    /// The gateway stopped while the call was up, or a call of an earlier run was found open.
    Interrupted "interrupted" Ours 503;
    Internal "internal_error" Ours 500;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_survive_the_wire() {
        let mut codes: Vec<_> = EndReason::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), EndReason::ALL.len());
        for reason in EndReason::ALL {
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.code()));
            assert!((400..700).contains(&reason.sip_status()));
        }
    }
}
