//! What one request may cost: the size, depth and pace of its body, and how often it may come.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use ruma::{OwnedUserId, UserId};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::http::error::ApiError;

/// Bytes of a JSON body: the largest event is 64 KiB, the largest batch of device messages that clients send about 1 MB.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a JSON body where clients send many things at once (key backups).
pub const LARGE_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Nested arrays and objects in a body. Below serde's own limit of 128, so that what is stored can be read back inside a row.
pub const JSON_DEPTH_MAX: usize = 100;

/// How long a JSON body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of all JSON bodies held at once, whoever sends them: bounds the memory that requests can take.
const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bodies are counted in units of this size.
const BODY_UNIT_BYTES: usize = 1024;

/// Room in memory for the bodies of all requests together.
#[derive(Debug)]
pub struct Bodies(Semaphore);

impl Default for Bodies {
    fn default() -> Self {
        Self(Semaphore::new(BODIES_BYTES_MAX / BODY_UNIT_BYTES))
    }
}

impl Bodies {
    /// Collects a body of at most `bytes_max`.
    ///
    /// # Errors
    /// 413 when it is larger, 408 when it is too slow, 400 when the connection breaks, 503 when memory for bodies is used up.
    pub async fn collect(&self, headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
        let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if told.is_some_and(|bytes| bytes > bytes_max) {
            return Err(ApiError::too_large(bytes_max as u64));
        }
        if told == Some(0) {
            return Ok(Bytes::new());
        }
        let units = told.unwrap_or(bytes_max).div_ceil(BODY_UNIT_BYTES);
        let room = self.0.acquire_many(u32::try_from(units).unwrap_or(u32::MAX));
        let collect = async {
            let _room = room.await.map_err(ApiError::unavailable)?;
            read(body, bytes_max, told.unwrap_or(0)).await
        };
        tokio::time::timeout(BODY_TIME_MAX, collect).await.unwrap_or_else(|_| Err(ApiError::too_slow()))
    }
}

async fn read(mut body: Body, bytes_max: usize, told: usize) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::with_capacity(told);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::not_json())?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > bytes_max {
                return Err(ApiError::too_large(bytes_max as u64));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

/// Checks, before anything parses it, that a body is nested no deeper than [`JSON_DEPTH_MAX`]. Needs no memory.
///
/// # Errors
/// 400 `M_BAD_JSON`.
pub fn check_depth(body: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            let message = format!("the request body is nested more than {JSON_DEPTH_MAX} levels deep");
            return Err(ApiError::new(http::StatusCode::BAD_REQUEST, "M_BAD_JSON", message));
        }
    }
    Ok(())
}

/// Checks that a body is text. JSON is UTF-8, also in the parts of it that nobody looks at.
///
/// # Errors
/// 400 `M_NOT_JSON`.
pub fn check_text(body: &[u8]) -> Result<(), ApiError> {
    let not_json = |_| ApiError::new(http::StatusCode::BAD_REQUEST, "M_NOT_JSON", "the request body is not UTF-8");
    std::str::from_utf8(body).map(|_| ()).map_err(not_json)
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, Clock, NoOpMiddleware<Nanos>>;

/// How often each user, and each address without a user, may ask. Growth: one entry per user and address that has asked
/// lately; [`Rates::forget`] drops the rest.
#[derive(Debug)]
pub struct Rates {
    clock: Clock,
    users: Limiter<OwnedUserId>,
    addresses: Limiter<IpAddr>,
}

impl Rates {
    /// As configured; `None` when limits are off.
    #[must_use]
    pub fn new(limits: &config::Limits, clock: &Clock) -> Option<Self> {
        let quota = |per_second, burst| {
            Some(Quota::per_second(NonZeroU32::new(per_second)?).allow_burst(NonZeroU32::new(burst)?))
        };
        if !limits.enabled {
            return None;
        }
        let users = quota(limits.user_per_second, limits.user_burst)?;
        let addresses = quota(limits.address_per_second, limits.address_burst)?;
        Some(Self {
            clock: clock.clone(),
            users: RateLimiter::new(users, DashMapStateStore::default(), clock.clone()),
            addresses: RateLimiter::new(addresses, DashMapStateStore::default(), clock.clone()),
        })
    }

    /// Counts a request of `user_id`.
    ///
    /// # Errors
    /// 429 `M_LIMIT_EXCEEDED` with when to try again.
    pub fn count_user(&self, user_id: &UserId) -> Result<(), ApiError> {
        self.users.check_key(&user_id.to_owned()).map_err(|not_yet| self.limited(not_yet.wait_time_from(self.now())))
    }

    /// Counts a request from `address` that comes without a user. IPv6 addresses count by their network of 64 bits.
    ///
    /// # Errors
    /// As [`Rates::count_user`].
    pub fn count_address(&self, address: IpAddr) -> Result<(), ApiError> {
        let address = match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
            v4 @ IpAddr::V4(_) => v4,
        };
        self.addresses.check_key(&address).map_err(|not_yet| self.limited(not_yet.wait_time_from(self.now())))
    }

    /// Drops what is known of those who have not asked lately.
    pub fn forget(&self) {
        self.users.retain_recent();
        self.addresses.retain_recent();
    }

    fn now(&self) -> Nanos {
        governor::clock::Clock::now(&self.clock)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is")]
    fn limited(&self, wait: Duration) -> ApiError {
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        engine::Reject::LimitExceeded { retry_after_ms }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_nesting_outside_texts() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(check_depth(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert!(check_depth(nested(JSON_DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(check_depth(nested(1_000_000).as_bytes()).is_err());
        let text = format!(r#"{{"a\"\\":"{}\\\"{}"}}"#, "[".repeat(500), "{".repeat(500));
        assert!(check_depth(text.as_bytes()).is_ok());
        assert!(check_depth("[]".repeat(500).as_bytes()).is_ok());
    }

    #[test]
    fn bodies_are_text() {
        assert!(check_text("{\"a\": \"ä\"}".as_bytes()).is_ok());
        assert_eq!(check_text(b"{\"unknown\": \"a\x81\"}").expect_err("not UTF-8").errcode(), "M_NOT_JSON");
    }

    #[test]
    fn a_rate_that_is_used_up_comes_back_with_time() {
        let clock = Clock::system();
        let limits = config::Limits { user_per_second: 1, user_burst: 2, ..config::Limits::default() };
        let rates = Rates::new(&limits, &clock).expect("on");
        let user_id = ruma::user_id!("@a:localhost");
        assert!(rates.count_user(user_id).is_ok() && rates.count_user(user_id).is_ok());
        let error = rates.count_user(user_id).expect_err("used up");
        assert_eq!(error.errcode(), "M_LIMIT_EXCEEDED");
        clock.advance(Duration::from_secs(2));
        assert!(rates.count_user(user_id).is_ok());
        assert!(Rates::new(&config::Limits { enabled: false, ..limits }, &clock).is_none());
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let limits = config::Limits { address_per_second: 1, address_burst: 1, ..config::Limits::default() };
        let rates = Rates::new(&limits, &Clock::system()).expect("on");
        assert!(rates.count_address("2001:db8::1".parse().expect("address")).is_ok());
        assert!(rates.count_address("2001:db8::2".parse().expect("address")).is_err());
        assert!(rates.count_address("192.0.2.1".parse().expect("address")).is_ok());
        assert!(rates.count_address("::ffff:192.0.2.1".parse().expect("address")).is_err());
    }
}
