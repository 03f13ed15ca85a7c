//! What an agent does in a call besides talking.

use serde::{Deserialize, Serialize};

use super::Private;

/// A tool that the agent's model asked for, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolUse {
    pub turn: u32,
    pub name: String,
    /// A JSON object as text, as the model wrote it.
    #[schema(value_type = String, example = "{\"to\":\"sales\"}")]
    pub arguments: Private<String>,
    /// What the model was told of it.
    #[schema(value_type = String)]
    pub result: Private<String>,
    /// Whether it was done.
    pub ok: bool,
    /// How long it took.
    pub ms: u64,
}
