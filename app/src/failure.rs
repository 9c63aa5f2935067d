//! What can go wrong on the way to the server, in words.

use std::fmt;

/// A call that did not work out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server cannot be reached.
    Gone,
    /// The server asks for its token.
    Token,
    /// The server asks for an administrator's session.
    SignIn,
    /// The server said no.
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The answer is not what this app expects.
    Unreadable {
        /// What was asked for.
        call: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The browser could not do its part.
    Browser {
        /// What was tried.
        task: &'static str,
        /// The browser's words.
        reason: String,
    },
}

impl Failure {
    /// Whether the thing asked for is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404 | 410, .. })
    }

    /// Whether asking again later may help without anyone doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Gone | Self::Refused { status: 429 | 500.., .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("The server cannot be reached."),
            Self::Token => f.write_str("The server asks for its access token."),
            Self::SignIn => f.write_str("The session has ended. Sign in again."),
            Self::Refused { status, message } if message.is_empty() => {
                write!(f, "The server answered with status {status}.")
            }
            Self::Refused { message, .. } => f.write_str(message),
            Self::Unreadable { call, reason } => {
                write!(
                    f,
                    "The answer to {call} could not be read ({reason}). Reload the page: it may be older than the server."
                )
            }
            Self::Browser { task, reason } => write!(f, "The browser could not {task}: {reason}"),
        }
    }
}
