//! The same work by wider instructions, where the processor has them: found out at run time, as a program that is built for them dies elsewhere.

use std::sync::OnceLock;

use pulp::Arch;

/// Does this with AVX2 where there is AVX2. That holds for what is compiled into `work` itself, so it and whatever it calls for many numbers at a time must be
/// `#[inline(always)]`. The result is the same, bit by bit: no sum is made in another order, no product joined with a sum.
#[inline(always)]
pub(crate) fn widest<R>(work: impl FnOnce() -> R) -> R {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(Arch::new).dispatch(work)
}
