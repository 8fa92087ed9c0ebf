//! The cookies of one attempt.

use cookie_store::CookieStore;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use parking_lot::Mutex;
use url::Url;

/// The cookies that servers have set in one attempt of a run.
#[derive(Default)]
pub struct Cookies(Mutex<CookieStore>);

impl Cookies {
    /// Adds the cookies for a URL to a request's headers, unless they have a `cookie` header.
    pub fn add_to_request(&self, url: &Url, headers: &mut HeaderMap) {
        if headers.contains_key(COOKIE) {
            return;
        }
        let store = self.0.lock();
        let pairs: Vec<_> = store.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        if !pairs.is_empty()
            && let Ok(value) = HeaderValue::try_from(pairs.join("; "))
        {
            headers.insert(COOKIE, value);
        }
    }

    /// Stores the cookies that a response from a URL sets. Those that cannot be parsed, or that the URL may not set,
    /// are ignored.
    pub fn store_from_response(&self, url: &Url, headers: &HeaderMap) {
        let mut store = self.0.lock();
        for value in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            _ = store.parse(value, url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_sent_only_to_urls_that_they_are_for() {
        let cookies = Cookies::default();
        let url = |text: &str| text.parse::<Url>().expect("the test's URLs are valid");
        let set = ["a=1; Path=/", "b=2; Path=/shop", "c=3; Secure; Path=/", "d=4; Domain=other.example", "no cookie"];
        let response_headers = set.iter().map(|value| (SET_COOKIE, HeaderValue::from_static(value))).collect();
        cookies.store_from_response(&url("https://shop.example/login"), &response_headers);
        let cookies_for = |to: &str, cookie_header: Option<&'static str>| {
            let mut headers = cookie_header.map(|text| (COOKIE, HeaderValue::from_static(text))).into_iter().collect();
            cookies.add_to_request(&url(to), &mut headers);
            let value = headers.get(COOKIE).and_then(|value| value.to_str().ok());
            let mut pairs: Vec<_> = value.unwrap_or_default().split("; ").map(str::to_owned).collect();
            pairs.sort();
            pairs
        };
        assert_eq!(cookies_for("https://shop.example/shop/cart", None), ["a=1", "b=2", "c=3"]);
        assert_eq!(cookies_for("http://shop.example/", None), ["a=1"]);
        assert_eq!(cookies_for("https://other.example/", None), [""]);
        assert_eq!(cookies_for("https://shop.example/", Some("own=5")), ["own=5"]);
    }
}
