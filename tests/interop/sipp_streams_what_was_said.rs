//! SIPp streams a person's sentence from a file, by its own clock: the recording has it sample for sample, but for G.711's rounding.

use crate::support::brain::Brain;
use crate::support::fidelity::Fidelity;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::sipp::Sipp;
use crate::support::speech::{CHECK_NUMBER, Wav};
use crate::support::{A_TURN, SOON, alone};

#[test]
fn the_recording_has_it_sample_for_sample() {
    let _alone = alone();
    let brain = Brain::that_says(&["Thank you."]);
    let gateway = Gateway::start(&Plan::new().thinking_with(brain.url()));
    let said = CHECK_NUMBER.wav();
    let sipp = Sipp::stream(gateway.sip, DID, &said);
    let call = gateway.wait_call(1, SOON);
    let score = sipp.finish(A_TURN);
    assert_eq!((score.succeeded, score.failed, score.unexpected), (1, 0, 0), "{score:?}\n{}", sipp.errors());

    let record = gateway.record(&call, SOON);
    assert_eq!(record.0["line"]["codec"], "PCMA");
    let heard = Wav::read_as_narrow(&record.recording(gateway.data()));
    Fidelity::of(&said, &heard).assert_is_g711s("from SIPp to the recording");
}
