//! What can be asked of the API, and how a request says it.

use std::fmt;

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// A thing to ask of the API, named as in `contract.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// `POST /apps/{app}/machines`
    Create,
    /// `GET /apps/{app}/machines`
    List,
    /// `GET /apps/{app}/machines/{id}`
    Get,
    /// `DELETE /apps/{app}/machines/{id}`
    Delete,
    /// `GET /apps/{app}/machines/{id}/wait`
    Wait,
    /// `POST /apps/{app}/machines/{id}/start`
    Start,
    /// `POST /apps/{app}/machines/{id}/stop`
    Stop,
    /// `POST /apps/{app}/machines/{id}/signal`
    Signal,
    /// `GET /apps/{app}/machines/{id}/events`
    Events,
    /// `GET /apps/{app}/machines/{id}/metadata`
    GetMetadata,
    /// `POST /apps/{app}/machines/{id}/metadata/{key}`
    SetMetadata,
    /// `DELETE /apps/{app}/machines/{id}/metadata/{key}`
    DeleteMetadata,
}

impl Action {
    /// Its name in `contract.json`, in faults and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::List => "list",
            Self::Get => "get",
            Self::Delete => "delete",
            Self::Wait => "wait",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Signal => "signal",
            Self::Events => "events",
            Self::GetMetadata => "get_metadata",
            Self::SetMetadata => "set_metadata",
            Self::DeleteMetadata => "delete_metadata",
        }
    }

    /// Whether whoever holds the lease of the machine may refuse it to others.
    pub(crate) fn needs_lease(self) -> bool {
        matches!(self, Self::Delete | Self::Start | Self::Stop | Self::Signal)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the method and the path of a request say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) action: Action,
    pub(crate) app: String,
    /// The machine's id; empty for `create` and `list`.
    pub(crate) machine: String,
    /// The key of a metadatum; empty for all else.
    pub(crate) key: String,
}

impl Target {
    pub(crate) fn of(method: &Method, path: &str) -> Option<Self> {
        let decoded = |part: &str| {
            percent_encoding::percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
        };
        let parts: Vec<String> =
            path.strip_prefix("/v1/")?.trim_end_matches('/').split('/').map(decoded).collect::<Option<_>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (app, rest) = match parts.as_slice() {
            ["apps", app, "machines", rest @ ..] => (*app, rest),
            _ => return None,
        };
        let (action, machine, key) = match (method.as_str(), rest) {
            ("POST", []) => (Action::Create, "", ""),
            ("GET", []) => (Action::List, "", ""),
            ("GET", [id]) => (Action::Get, *id, ""),
            ("DELETE", [id]) => (Action::Delete, *id, ""),
            ("GET", [id, "wait"]) => (Action::Wait, *id, ""),
            ("POST", [id, "start"]) => (Action::Start, *id, ""),
            ("POST", [id, "stop"]) => (Action::Stop, *id, ""),
            ("POST", [id, "signal"]) => (Action::Signal, *id, ""),
            ("GET", [id, "events"]) => (Action::Events, *id, ""),
            ("GET", [id, "metadata"]) => (Action::GetMetadata, *id, ""),
            ("POST", [id, "metadata", key]) => (Action::SetMetadata, *id, *key),
            ("DELETE", [id, "metadata", key]) => (Action::DeleteMetadata, *id, *key),
            _ => return None,
        };
        Some(Self { action, app: app.to_owned(), machine: machine.to_owned(), key: key.to_owned() })
    }

    /// What a limit of requests counts for: the machine, or the app.
    pub(crate) fn about(&self) -> &str {
        if self.machine.is_empty() { &self.app } else { &self.machine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_of_the_contract_is_an_action_of_the_same_name() {
        for (name, operation) in &crate::contract::contract().operations {
            let path = format!("/v1{}", operation.path).replace(['{', '}'], "");
            let method = operation.method.parse().expect("a method");
            let target = Target::of(&method, &path).unwrap_or_else(|| panic!("{name} is no action"));
            assert_eq!(target.action.name(), name);
            assert_eq!(serde_json::to_value(target.action).expect("a name"), name.as_str());
        }
    }

    #[test]
    fn a_key_of_metadata_may_hold_any_text() {
        let target = Target::of(&Method::POST, "/v1/apps/a/machines/m/metadata/flame%2Fpool").expect("an action");
        assert_eq!(target.key, "flame/pool");
    }

    #[test]
    fn what_the_api_has_not_is_no_action() {
        for path in ["/v1/apps/a", "/apps/a/machines", "/v1/apps/a/machines/m/nap", "/v2/apps/a/machines"] {
            assert_eq!(Target::of(&Method::GET, path), None, "{path}");
        }
        assert_eq!(Target::of(&Method::PUT, "/v1/apps/a/machines"), None);
    }
}
