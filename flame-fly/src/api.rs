//! The requests that are made of the Machines API, one function each.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flame_actors::Error;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::bucket::{Action, Bucket};
use crate::doctor::Machine;
use crate::retry::{Failure, Kind, kind_of};
use crate::settings::{Complete, Token, config};

/// An answer takes no longer than this, or is taken for lost.
const ANSWER_BOUND: Duration = Duration::from_secs(10);
const CONNECT_BOUND: Duration = Duration::from_secs(3);
/// What is repeated of an error that is no JSON.
const LONGEST_TEXT: usize = 300;

/// One application's machines.
pub(crate) struct Api {
    http: Client,
    machines: Url,
    app: String,
    token: Token,
}

/// How the API says what went wrong.
#[derive(Default, Deserialize)]
struct Refusal {
    error: Option<String>,
    status: Option<Value>,
}

impl Api {
    pub(crate) fn new(host: &str, settings: &Complete<'_>) -> Result<Self, Error> {
        let mut machines = url(host)?;
        machines
            .path_segments_mut()
            .map_err(|()| config("host (FLY_API_HOSTNAME) is no URL".to_owned()))?
            .pop_if_empty()
            .extend(["v1", "apps", settings.app, "machines"]);
        let token = settings.token.clone();
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.secret()))
            .map_err(|_| config("token (FLY_API_TOKEN) has characters that no token has".to_owned()))?;
        bearer.set_sensitive(true);
        let http = Client::builder()
            .tls_backend_preconfigured(tls(machines.scheme() == "https")?)
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .connect_timeout(CONNECT_BOUND)
            .timeout(ANSWER_BOUND)
            // Nobody else is to see the token.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|err| config(format!("no HTTP client: {err}")))?;
        Ok(Self { http, machines, app: settings.app.to_owned(), token })
    }

    pub(crate) fn app(&self) -> &str {
        &self.app
    }

    /// Waits until this action has its turn, for all pools of this process.
    pub(crate) async fn turn(&self, action: Action) {
        Bucket::of(self.machines.as_str(), action).turn().await;
    }

    /// Has a machine created. The turn is taken by the caller, before the time for the boot begins.
    pub(crate) async fn create(&self, machine: &Value) -> Result<Machine, Failure> {
        let created: Result<Machine, _> = self.send(Method::POST, self.machines.clone(), Some(machine)).await;
        created.map_err(|failure| self.with_advice(failure))
    }

    /// As with the following, the turn is taken by the caller: waiting for it is no part of waiting for an answer.
    pub(crate) async fn get(&self, id: &str) -> Result<Machine, Failure> {
        self.send(Method::GET, self.machine(id), None).await
    }

    /// Ends a machine at once; one that is gone is no failure.
    pub(crate) async fn destroy(&self, id: &str) -> Result<(), Failure> {
        let mut url = self.machine(id);
        url.query_pairs_mut().append_pair("force", "true");
        match self.answer(Method::DELETE, url, None).await {
            Err(Failure { kind: Kind::NotFound, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// The machines that are marked so.
    pub(crate) async fn list(&self, mark: &str, value: &str) -> Result<Vec<Machine>, Failure> {
        let mut url = self.machines.clone();
        // A filter of the pages on the API (https://fly.io/docs/machines/api/machines-resource/#list-machines).
        url.query_pairs_mut().append_pair(&format!("metadata.{mark}"), value);
        let machines: Vec<Machine> = self.send(Method::GET, url, None).await?;
        // An API that does not know it gives all.
        Ok(machines.into_iter().filter(|machine| machine.mark(mark) == Some(value)).collect())
    }

    fn machine(&self, id: &str) -> Url {
        let mut url = self.machines.clone();
        url.path_segments_mut().expect("it was built so").push(id);
        url
    }

    async fn send<T: DeserializeOwned>(&self, method: Method, url: Url, body: Option<&Value>) -> Result<T, Failure> {
        let answer = self.answer(method, url, body).await?;
        answer.json().await.map_err(|err| self.unanswered(err))
    }

    async fn answer(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Response, Failure> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|err| self.unanswered(err))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(answer).await) }
    }

    fn unanswered(&self, err: reqwest::Error) -> Failure {
        // Nothing was sent where nobody was reached.
        let kind = if err.is_connect() { Kind::Refused } else { Kind::Unanswered };
        Failure::new(
            kind,
            self.token.without(&format!("no answer from the Machines API: {}", chain(&err.without_url()))),
        )
    }

    async fn refused(&self, answer: Response) -> Failure {
        let status = answer.status();
        let retry_after = retry_after(answer.headers());
        let text = answer.text().await.unwrap_or_default();
        let refusal: Refusal = serde_json::from_str(&text).unwrap_or_default();
        let said = refusal.error.unwrap_or_else(|| text.chars().take(LONGEST_TEXT).collect());
        let no_capacity = refusal.status.as_ref().and_then(Value::as_str) == Some("insufficient_capacity")
            || said.to_lowercase().contains("insufficient resources");
        let kind = kind_of(status.as_u16(), no_capacity);
        let text = format!("the Machines API answers {}: {}", named(status), said.trim());
        Failure { kind, text: self.token.without(text.trim_end_matches([':', ' '])), retry_after }
    }

    /// What whoever runs this can do about it.
    fn with_advice(&self, mut failure: Failure) -> Failure {
        if !matches!(failure.kind, Kind::Final | Kind::NotFound) {
            return failure;
        }
        let app = &self.app;
        let is = |code: &str| failure.text.contains(&format!("answers {code}"));
        let image = ["image", "manifest"].iter().any(|word| failure.text.to_lowercase().contains(word));
        let quota = ["quota", "limit"].iter().any(|word| failure.text.to_lowercase().contains(word));
        let advice: Cow<'_, str> = match () {
            () if is("401") => format!(
                "the token is missing, wrong or has expired: fly secrets set -a {app} \
                 FLY_API_TOKEN=\"$(fly tokens create deploy -a {app})\""
            )
            .into(),
            () if is("403") && quota => {
                "a quota is used up: lower the pool's max, use another region, or ask Fly for more".into()
            }
            () if is("403") => format!("the token is not for app \"{app}\": fly tokens create deploy -a {app}").into(),
            () if is("404") && image => "is there an image of this name (FLY_IMAGE_REF)?".into(),
            () if is("404") => {
                format!("is \"{app}\" the name of the app (FLY_APP_NAME), and the token one for it?").into()
            }
            () => "check the options of FlyBackend: image, region, size, mounts, services".into(),
        };
        failure.text = format!("{}; {advice}", failure.text);
        failure
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("app", &self.app).finish_non_exhaustive()
    }
}

/// `host` as a URL: within Fly's network and on this computer without TLS, elsewhere with it, unless it says which.
fn url(host: &str) -> Result<Url, Error> {
    let host = host.trim().trim_end_matches('/');
    let parse = |text: &str| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.ok_or_else(|| config("host (FLY_API_HOSTNAME) is no URL".to_owned()))
    };
    if host.contains("://") {
        return parse(host);
    }
    let plain = parse(&format!("http://{host}"))?;
    let is_near = match plain.host_str().unwrap_or_default() {
        "_api.internal" | "localhost" => true,
        name => name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    };
    if is_near { Ok(plain) } else { parse(&format!("https://{host}")) }
}

/// With ring, and the certificates of the system, which are looked for only where they are needed.
fn tls(is_needed: bool) -> Result<ClientConfig, Error> {
    let failed = |err| config(format!("no certificates to check Fly's with (install ca-certificates): {err}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = if is_needed {
        builder.with_platform_verifier().map_err(failed)?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

/// How long the API wants to be left alone: for so many seconds, or until a date
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let wanted = text(RETRY_AFTER)?;
    if let Ok(seconds) = wanted.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // The date is one of its clock, which may not be ours.
    let now = text(DATE).and_then(date).unwrap_or_else(SystemTime::now);
    Some(date(wanted)?.duration_since(now).unwrap_or_default())
}

fn named(status: StatusCode) -> String {
    let reason = status.canonical_reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{}{reason}", status.as_u16())
}

/// An error with its causes.
fn chain(err: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(err), |err| err.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_scheme_means_tls_unless_it_is_near() {
        let url = |host| url(host).unwrap().to_string();
        assert_eq!(url("api.machines.dev"), "https://api.machines.dev/");
        assert_eq!(url("https://api.machines.dev/"), "https://api.machines.dev/");
        assert_eq!(url("_api.internal:4280"), "http://_api.internal:4280/");
        assert_eq!(url("127.0.0.1:4280"), "http://127.0.0.1:4280/");
        assert_eq!(url("[::1]:4280"), "http://[::1]:4280/");
        assert_eq!(url("http://example.com:1"), "http://example.com:1/");
    }

    #[test]
    fn what_is_no_host_is_an_error() {
        for host in ["", "ftp://x", "a b"] {
            assert!(url(host).is_err(), "{host}");
        }
    }

    #[test]
    fn the_api_is_left_alone_for_seconds_or_until_a_date_by_its_clock() {
        let by = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            retry_after(&headers.collect())
        };
        let at = (DATE, "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(by(&[at.clone(), (RETRY_AFTER, "3")]), Some(Duration::from_secs(3)));
        let until = |date| by(&[at.clone(), (RETRY_AFTER, date)]);
        assert_eq!(until("Wed, 21 Oct 2015 07:28:05 GMT"), Some(Duration::from_secs(5)));
        assert_eq!(until("Wed, 21 Oct 2015 07:27:00 GMT"), Some(Duration::ZERO));
        assert_eq!(until("soon"), None);
        assert_eq!(by(&[]), None);
        // Without its clock ours has to do.
        let far = by(&[(RETRY_AFTER, "Fri, 31 Dec 9999 23:59:59 GMT")]);
        assert!(far.is_some_and(|pause| pause > Duration::from_secs(86_400)), "{far:?}");
    }
}
