//! The gateway against programs that we did not write: Kamailio, baresip, SIPp.
//!
//! One file per behaviour; its name is the sentence that it proves. `README.md` says how to run one.

mod support;

mod the_peers_work_without_us;
