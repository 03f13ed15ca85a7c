//! Errors: one small enum per operation. The heart itself has none; it counts or answers.

/// Why a text is no URI, name-addr or other typed header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    #[error("no scheme")]
    NoScheme,
    #[error("no host")]
    NoHost,
    #[error("bad host")]
    BadHost,
    #[error("bad port")]
    BadPort,
    #[error("bad escape")]
    BadEscape,
    #[error("bad character")]
    BadCharacter,
    #[error("unbalanced quotes or brackets")]
    Unbalanced,
    #[error("bad parameter")]
    BadParameter,
    #[error("bad number")]
    BadNumber,
    #[error("empty")]
    Empty,
    #[error("more than anybody has")]
    TooMany,
}
