//! A conversation's tree of messages: which branch is shown, and which versions a message has.

use jnana_api::conversations::Message;

/// Indices of the messages from the root to `leaf`.
///
/// Without a leaf, or with one that is not there, the newest branch is taken.
#[must_use]
pub fn path(messages: &[Message], leaf: Option<&str>) -> Vec<usize> {
    let start = leaf.and_then(|leaf| position(messages, leaf)).or_else(|| {
        messages.iter().rposition(|message| message.parent.is_none()).map(|root| newest_below(messages, root))
    });
    let mut path = Vec::new();
    let mut next = start;
    while let Some(index) = next {
        // A tree never revisits a message; broken data must not hang the page.
        if path.contains(&index) {
            break;
        }
        path.push(index);
        next = messages[index].parent.as_deref().and_then(|parent| position(messages, parent));
    }
    path.reverse();
    path
}

/// The versions of a message: ids of those with the same parent and role, oldest first, itself among them.
#[must_use]
pub fn versions<'a>(messages: &'a [Message], id: &str) -> Vec<&'a str> {
    let Some(index) = position(messages, id) else { return Vec::new() };
    let this = &messages[index];
    messages
        .iter()
        .filter(|other| other.parent == this.parent && other.role == this.role)
        .map(|other| other.id.as_str())
        .collect()
}

/// The version `steps` away from `id` (−1 is the one before), if there is one.
#[must_use]
pub fn neighbour<'a>(messages: &'a [Message], id: &str, steps: isize) -> Option<&'a str> {
    let versions = versions(messages, id);
    let at = versions.iter().position(|version| *version == id)?;
    versions.get(at.checked_add_signed(steps)?).copied()
}

/// The last message of the newest branch that goes through `id`.
#[must_use]
pub fn leaf_below<'a>(messages: &'a [Message], id: &str) -> Option<&'a str> {
    let index = position(messages, id)?;
    Some(messages[newest_below(messages, index)].id.as_str())
}

fn newest_below(messages: &[Message], from: usize) -> usize {
    let mut at = from;
    for _ in 0..messages.len() {
        let id = messages[at].id.as_str();
        match messages.iter().rposition(|message| message.parent.as_deref() == Some(id)) {
            Some(child) => at = child,
            None => break,
        }
    }
    at
}

fn position(messages: &[Message], id: &str) -> Option<usize> {
    messages.iter().position(|message| message.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jnana_api::conversations::{MessageState, Role};

    fn message(id: &str, parent: Option<&str>, role: Role) -> Message {
        Message {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            role,
            parts: Vec::new(),
            created_at: 0,
            state: MessageState::Done,
            details: None,
        }
    }

    /// Two versions of the first question; the first has two answers and goes on below the second of them.
    fn tree() -> Vec<Message> {
        vec![
            message("q1", None, Role::User),
            message("a1", Some("q1"), Role::Assistant),
            message("a2", Some("q1"), Role::Assistant),
            message("q2", Some("a2"), Role::User),
            message("a3", Some("q2"), Role::Assistant),
            message("q1b", None, Role::User),
            message("a4", Some("q1b"), Role::Assistant),
        ]
    }

    fn ids(messages: &[Message], leaf: Option<&str>) -> Vec<String> {
        path(messages, leaf).into_iter().map(|index| messages[index].id.clone()).collect()
    }

    #[test]
    fn the_path_runs_from_root_to_leaf() {
        let tree = tree();
        assert_eq!(ids(&tree, Some("a3")), ["q1", "a2", "q2", "a3"]);
        assert_eq!(ids(&tree, Some("a1")), ["q1", "a1"]);
    }

    #[test]
    fn without_a_leaf_the_newest_branch_is_shown() {
        assert_eq!(ids(&tree(), None), ["q1b", "a4"]);
        assert_eq!(ids(&tree(), Some("gone")), ["q1b", "a4"]);
        assert!(path(&[], None).is_empty());
    }

    #[test]
    fn versions_share_parent_and_role() {
        let tree = tree();
        assert_eq!(versions(&tree, "a2"), ["a1", "a2"]);
        assert_eq!(versions(&tree, "q1"), ["q1", "q1b"]);
        assert_eq!(versions(&tree, "q2"), ["q2"]);
        assert!(versions(&tree, "gone").is_empty());
    }

    #[test]
    fn neighbours_end_at_the_first_and_the_last() {
        let tree = tree();
        assert_eq!(neighbour(&tree, "a1", 1), Some("a2"));
        assert_eq!(neighbour(&tree, "a1", -1), None);
        assert_eq!(neighbour(&tree, "a2", 1), None);
    }

    #[test]
    fn switching_goes_to_the_newest_leaf_below() {
        let tree = tree();
        assert_eq!(leaf_below(&tree, "q1"), Some("a3"));
        assert_eq!(leaf_below(&tree, "a1"), Some("a1"));
        assert_eq!(leaf_below(&tree, "gone"), None);
    }

    #[test]
    fn a_broken_tree_does_not_hang() {
        let knot = vec![message("x", Some("y"), Role::User), message("y", Some("x"), Role::User)];
        assert_eq!(path(&knot, Some("x")).len(), 2);
        assert!(leaf_below(&knot, "x").is_some());
    }
}
