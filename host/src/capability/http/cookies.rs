//! The cookies of one run.

use cookie_store::CookieStore;
use parking_lot::{Mutex, MutexGuard};
use reqwest::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use url::Url;

/// What servers have set, for those of their requests that keep cookies.
#[derive(Default)]
pub struct Cookies(Mutex<CookieStore>);

impl Cookies {
    /// Adds those for a URL, unless the request has its own.
    pub fn add_to_request(&self, url: &Url, headers: &mut HeaderMap) {
        if headers.contains_key(COOKIE) {
            return;
        }
        let store = self.lock();
        let pairs: Vec<_> = store.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        if !pairs.is_empty()
            && let Ok(value) = HeaderValue::try_from(pairs.join("; "))
        {
            headers.insert(COOKIE, value);
        }
    }

    /// Keeps those of an answer. What is no cookie is none.
    pub fn store_from_response(&self, url: &Url, headers: &HeaderMap) {
        let mut store = self.lock();
        for value in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            _ = store.parse(value, url);
        }
    }

    fn lock(&self) -> MutexGuard<'_, CookieStore> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_go_where_they_belong() {
        let cookies = Cookies::default();
        let url = |text: &str| text.parse::<Url>().expect("a URL");
        let set = ["a=1; Path=/", "b=2; Path=/shop", "c=3; Secure; Path=/", "d=4; Domain=other.example", "no cookie"];
        let answer = set.iter().map(|value| (SET_COOKIE, HeaderValue::from_static(value))).collect();
        cookies.store_from_response(&url("https://shop.example/login"), &answer);
        let asked = |to: &str, own: Option<&'static str>| {
            let mut headers = own.map(|own| (COOKIE, HeaderValue::from_static(own))).into_iter().collect();
            cookies.add_to_request(&url(to), &mut headers);
            let value = headers.get(COOKIE).and_then(|value| value.to_str().ok());
            let mut pairs: Vec<_> = value.unwrap_or_default().split("; ").map(str::to_owned).collect();
            pairs.sort();
            pairs
        };
        assert_eq!(asked("https://shop.example/shop/cart", None), ["a=1", "b=2", "c=3"]);
        assert_eq!(asked("http://shop.example/", None), ["a=1"]);
        assert_eq!(asked("https://other.example/", None), [""]);
        assert_eq!(asked("https://shop.example/", Some("own=5")), ["own=5"]);
    }
}
