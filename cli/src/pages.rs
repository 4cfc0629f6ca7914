//! Lists in pages.

use serde_json::Value;

use crate::connection::escape;

/// How many objects a page holds, as with kubectl.
pub(crate) const PAGE: usize = 500;

/// The path of the page after `list`, which came from `path`.
pub(crate) fn following(list: &Value, path: &str) -> Option<String> {
    let token = list.pointer("/metadata/continue")?.as_str().filter(|token| !token.is_empty())?;
    let base = path.split("&continue=").next().unwrap_or(path);
    Some(format!("{base}&continue={}", escape(token)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_next_page_replaces_the_last_token() {
        let list = json!({"metadata": {"continue": "a/b"}});
        assert_eq!(following(&list, "/x?limit=5&continue=old"), Some("/x?limit=5&continue=a%2Fb".to_owned()));
        assert_eq!(following(&json!({"metadata": {"continue": ""}}), "/x?limit=5"), None);
    }
}
