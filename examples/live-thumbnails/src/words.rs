//! What went wrong, in words for a visitor.

use flame_actors::{ChildError, Error, Stage};

/// Why an upload got no generator.
pub(crate) fn not_placed(err: &Error) -> String {
    match err {
        Error::PoolFull { waiting, .. } => {
            format!("No capacity: {waiting} uploads wait for a runner already. Try again in a while.")
        }
        Error::Timeout { stage: Stage::Waiting, after, .. } => {
            format!("No capacity: no runner became free within {} seconds. Try again in a while.", after.as_secs())
        }
        Error::RunnerLost { node, cause } => lost(node, cause),
        Error::Boot { reason, .. } => format!("No runner could be booted: {}.", ended(reason)),
        Error::NotStarted { reason, .. } => format!("The runner could not start: {}.", ended(reason)),
        Error::PoolClosed { .. } => "The server is about to end.".to_owned(),
        err => sentence(&err.to_string()),
    }
}

/// Why a generator ended before its time.
pub(crate) fn failed(err: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    match err.downcast_ref::<ChildError>() {
        Some(ChildError::RunnerLost { node, cause }) => lost(node, cause),
        _ => sentence(&err.to_string()),
    }
}

fn lost(node: &str, cause: &impl ToString) -> String {
    format!("Runner {} was lost: {}. Upload the video again.", short(node), ended(&cause.to_string()))
}

/// A text of several causes as a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|char| char.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", ended(chars.as_str()))
}

fn ended(text: &str) -> &str {
    text.trim_end_matches(['.', ' ', '\n'])
}

/// What tells a runner from its siblings: the last letters of its name.
pub(crate) fn short(node: &str) -> &str {
    let last = node.rsplit('.').next().unwrap_or_default();
    last.char_indices().rev().nth(5).map_or(last, |(at, _)| &last[at..])
}

#[cfg(test)]
mod tests {
    use flame_actors::Cause;

    use super::*;

    #[test]
    fn a_lost_runner_is_named_with_its_cause() {
        let node = "web-01m7.ffmpeg-01m7yejfc682xbdvhh2jbcanqr".to_owned();
        let words = failed(&ChildError::RunnerLost { node, cause: Cause::Signalled(9) });
        assert_eq!(words, "Runner bcanqr was lost: its process was ended by signal 9. Upload the video again.");
    }

    #[test]
    fn other_errors_become_sentences() {
        assert_eq!(failed(&ChildError::Failed("the file is empty".to_owned())), "The file is empty.");
        assert_eq!(sentence(""), ".");
        assert_eq!(short("abc"), "abc");
    }
}
