//! What is sent to a server at once.

use redis::{Cmd, Pipeline, Value};

use super::script::by_source;

/// One command, or several in one pipeline.
pub(super) enum Message {
    One(Cmd),
    Many(Pipeline),
}

/// An answer to each of a message's commands.
pub(super) enum Answers {
    One(Value),
    Many(Vec<Value>),
}

impl Message {
    /// The same, with the scripts' sources for their hashes.
    pub(super) fn by_source(&self) -> Self {
        match self {
            Self::One(command) => Self::One(by_source(command)),
            Self::Many(pipeline) => {
                let mut whole = Pipeline::with_capacity(pipeline.len());
                for command in pipeline.cmd_iter() {
                    whole.add_command(by_source(command));
                }
                Self::Many(whole)
            }
        }
    }

    #[cfg(feature = "cluster")]
    pub(super) fn commands(&self) -> impl Iterator<Item = &Cmd> {
        let (one, many) = match self {
            Self::One(command) => (Some(command), None),
            Self::Many(pipeline) => (None, Some(pipeline.cmd_iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl Answers {
    pub(super) fn as_slice(&self) -> &[Value] {
        match self {
            Self::One(answer) => std::slice::from_ref(answer),
            Self::Many(answers) => answers,
        }
    }
}

impl From<Vec<Value>> for Answers {
    fn from(answers: Vec<Value>) -> Self {
        Self::Many(answers)
    }
}
