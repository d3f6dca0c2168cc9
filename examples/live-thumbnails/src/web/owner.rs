//! Whose videos: a browser is known by a cookie that only the server reads.

use axum::http::{HeaderMap, header};

use crate::visitors::{is_secret, secret};

const NAME: &str = "live-thumbnails";

/// A browser, whatever pages it has open.
pub(super) struct Owner(String);

impl Owner {
    /// One that was never here.
    pub(super) fn new() -> Self {
        Self(secret())
    }

    /// The one that asks, if it was here before.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, id) = pairs.find(|(name, id)| *name == NAME && is_secret(id))?;
        Some(Self(id.to_owned()))
    }

    pub(super) fn id(&self) -> &str {
        &self.0
    }

    /// For a year, and never for a request that another site has caused.
    pub(super) fn cookie(&self) -> String {
        format!("{NAME}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict", self.0)
    }
}

/// Whether a connection was opened by a page of ours: a browser lets any site open one to here, and says which it was.
pub(super) fn is_ours(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Some((_, site)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    headers.get(header::HOST).is_some_and(|host| host == site)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_browser_is_known_by_its_cookie_and_by_nothing_else() {
        let owner = Owner::new();
        let cookie = format!("a=b; {}", owner.cookie());
        assert_eq!(Owner::of(&headers(&[(header::COOKIE, &cookie)])).unwrap().id(), owner.id());
        for other in ["", "a=b", "live-thumbnails=", "live-thumbnails=' OR 1=1 --"] {
            assert!(Owner::of(&headers(&[(header::COOKIE, other)])).is_none(), "{other}");
        }
    }

    #[test]
    fn another_sites_page_gets_no_connection() {
        let here = (header::HOST, "127.0.0.1:4000");
        assert!(is_ours(&headers(&[here.clone(), (header::ORIGIN, "http://127.0.0.1:4000")])));
        assert!(is_ours(&headers(std::slice::from_ref(&here))), "no browser");
        for origin in ["http://evil.example", "http://127.0.0.1:4001", "null"] {
            assert!(!is_ours(&headers(&[here.clone(), (header::ORIGIN, origin)])), "{origin}");
        }
    }
}
