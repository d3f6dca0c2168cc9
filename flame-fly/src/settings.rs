//! What a machine is made of, and where that is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use flame_actors::Error;
use serde::Serialize;
use serde_json::Value;

/// The API as everybody reaches it; from within Fly's private network also `http://_api.internal:4280`.
const PUBLIC: &str = "https://api.machines.dev";

/// The size of a machine, as the API's `guest` object has it.
///
/// ```
/// use flame_fly::Size;
///
/// let gpu = Size::new("performance", 8, 32_768).gpus("a10", 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    pub(crate) cpu_kind: String,
    pub(crate) cpus: usize,
    pub(crate) memory_mb: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gpu_kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gpus: Option<u32>,
}

impl Size {
    /// So many CPUs of this kind (`shared`, `performance`), and so much memory in MiB.
    pub fn new(cpu_kind: impl Into<String>, cpus: usize, memory_mb: u32) -> Self {
        Self { cpu_kind: cpu_kind.into(), cpus, memory_mb, gpu_kind: None, gpus: None }
    }

    /// So many GPUs of this kind, too.
    #[must_use]
    pub fn gpus(mut self, kind: impl Into<String>, gpus: u32) -> Self {
        (self.gpu_kind, self.gpus) = (Some(kind.into()), Some(gpus));
        self
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}x with {} MiB", self.cpu_kind, self.cpus, self.memory_mb)?;
        match (&self.gpu_kind, self.gpus) {
            (Some(kind), Some(gpus)) => write!(f, " and {gpus} {kind}"),
            _ => Ok(()),
        }
    }
}

/// Shown nowhere.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// A token as it comes from a file or a command, which end it with a line break.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// The text without this token, in case that somebody repeats it.
    pub(crate) fn without(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, "[token]") }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) app: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) token: Option<Token>,
    pub(crate) region: Option<String>,
    pub(crate) fallback_regions: Vec<String>,
    pub(crate) size: Size,
    pub(crate) fallback_sizes: Vec<Size>,
    pub(crate) machine_id: Option<String>,
    pub(crate) private_ip: Option<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) init: Option<Value>,
    pub(crate) services: Option<Value>,
    pub(crate) mounts: Option<Value>,
    pub(crate) stop_config: Option<Value>,
}

/// What nothing can be booted without.
pub(crate) struct Complete<'a> {
    pub(crate) app: &'a str,
    pub(crate) image: &'a str,
    pub(crate) token: &'a Token,
    /// Where the parent is reached, if that was said.
    pub(crate) private_ip: Option<IpAddr>,
}

impl Settings {
    pub(crate) fn new() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, Into::into);
        Self {
            host: PUBLIC.to_owned(),
            app: None,
            image: None,
            token: None,
            region: None,
            fallback_regions: Vec::new(),
            size: Size::new("performance", cpus, 4096),
            fallback_sizes: Vec::new(),
            machine_id: None,
            private_ip: None,
            env: BTreeMap::new(),
            metadata: BTreeMap::new(),
            init: None,
            services: None,
            mounts: None,
            stop_config: None,
        }
    }

    /// What a machine of Fly's finds in its environment, with secrets, by this look-up.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let mut settings = Self::new();
        if let Some(host) = variable("FLY_API_HOSTNAME") {
            settings.host = host;
        }
        settings.app = variable("FLY_APP_NAME");
        settings.image = variable("FLY_IMAGE_REF");
        settings.token = variable("FLY_API_TOKEN").as_deref().map(Token::new);
        settings.region = variable("FLY_REGION");
        settings.machine_id = variable("FLY_MACHINE_ID");
        settings.private_ip = variable("FLY_PRIVATE_IP");
        settings
    }

    /// One error for all that is wrong.
    pub(crate) fn complete(&self) -> Result<Complete<'_>, Error> {
        let private_ip = self.private_ip.as_deref().map(|ip| ip.trim().parse());
        let token = self.token.as_ref().filter(|token| !token.secret().is_empty());
        if let (Some(app), Some(image), Some(token), None | Some(Ok(_))) = (&self.app, &self.image, token, &private_ip)
        {
            return Ok(Complete { app, image, token, private_ip: private_ip.and_then(Result::ok) });
        }
        let missing = [
            (self.app.is_none(), "app (FLY_APP_NAME) is not set"),
            (self.image.is_none(), "image (FLY_IMAGE_REF) is not set"),
            (token.is_none(), "token (FLY_API_TOKEN) is not set"),
            (matches!(private_ip, Some(Err(_))), "private_ip (FLY_PRIVATE_IP) is no address"),
        ];
        let missing: Vec<_> = missing.iter().filter(|(missing, _)| *missing).map(|(_, what)| *what).collect();
        Err(config(missing.join(", ")))
    }
}

/// An error that trying again does not mend.
pub(crate) fn config(reason: String) -> Error {
    Error::Config { option: "flame-fly".to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "FLY_APP_NAME" => "thumbs",
            "FLY_IMAGE_REF" => "registry.fly.io/thumbs:deployment-1",
            "FLY_API_TOKEN" => "FlyV1 fm2_hidden\n",
            "FLY_REGION" => "fra",
            "FLY_MACHINE_ID" => "148e",
            "FLY_PRIVATE_IP" => "fdaa:0:1::3",
            "FLY_API_HOSTNAME" => "http://_api.internal:4280",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn everything_comes_from_the_environment_of_a_machine() {
        let settings = Settings::from_environment(environment);
        let complete = settings.complete().unwrap();
        assert_eq!((complete.app, complete.image), ("thumbs", "registry.fly.io/thumbs:deployment-1"));
        assert_eq!(complete.token.secret(), "FlyV1 fm2_hidden");
        assert_eq!(complete.private_ip, Some("fdaa:0:1::3".parse().unwrap()));
        assert_eq!((settings.region.as_deref(), settings.machine_id.as_deref()), (Some("fra"), Some("148e")));
        assert_eq!(settings.host, "http://_api.internal:4280");
        assert_eq!((settings.size.cpu_kind.as_str(), settings.size.memory_mb), ("performance", 4096));
    }

    #[test]
    fn one_error_names_all_that_is_missing() {
        let settings = Settings::from_environment(|name| (name == "FLY_PRIVATE_IP").then(|| "here".to_owned()));
        let reason = settings.complete().err().unwrap().to_string();
        for name in ["FLY_APP_NAME", "FLY_IMAGE_REF", "FLY_API_TOKEN", "FLY_PRIVATE_IP"] {
            assert!(reason.contains(name), "{reason}");
        }
    }

    #[test]
    fn a_variable_without_a_value_is_none() {
        let settings =
            Settings::from_environment(
                |name| if name == "FLY_API_TOKEN" { Some(" ".into()) } else { environment(name) },
            );
        assert_eq!(settings.complete().err().unwrap().to_string(), "flame-fly: token (FLY_API_TOKEN) is not set");
    }
}
