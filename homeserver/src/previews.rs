//! Fetching web pages that people link to, to show what they are about: only from public addresses, only so much, only for so long.
//! Off unless configured.

mod page;

use std::io::Cursor;
use std::time::Duration;

use http::header;
use image::ImageReader;
use reqwest::{Client, Response, Url};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::egress::{self, LazyClient, Reach};

/// How long a page and its picture may take together.
const TIME_MAX: Duration = Duration::from_secs(20);

/// How long a connection may take to be made, and how long a server may say nothing.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Addresses that a page may have moved on to.
const REDIRECTS_MAX: usize = 5;

/// Bytes of a page that are looked at: what it says of itself stands at its beginning.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a picture: larger ones are left out.
const PICTURE_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Bytes of an address.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// Pages fetched at the same time; with the sizes above it bounds the memory of all of them.
const FETCHES_MAX: usize = 8;

/// No preview can be made. Why is not told: an address inside the operator's network answers like one that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no preview can be made of this address")]
pub struct NoPreview;

impl From<reqwest::Error> for NoPreview {
    fn from(_: reqwest::Error) -> Self {
        Self
    }
}

/// What a page says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// OpenGraph properties, without those of the picture.
    pub properties: Map<String, Value>,
    /// Its picture.
    pub picture: Option<Picture>,
}

/// A picture whose size could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub bytes: Vec<u8>,
    /// What it is, as its bytes say.
    pub content_type: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Fetches previews.
#[derive(Debug)]
pub struct Previews {
    http: LazyClient,
    reach: Reach,
    turns: Semaphore,
}

impl Previews {
    /// As configured; `None` when previews are off.
    #[must_use]
    pub fn new(config: &config::Previews) -> Option<Self> {
        if !config.enabled {
            return None;
        }
        let reach = Reach::new(&config.allow);
        let of_client = reach.clone();
        let http = LazyClient::new(move || {
            let builder = Client::builder()
                .referer(false)
                .connect_timeout(PAUSE_MAX)
                .read_timeout(PAUSE_MAX)
                .pool_max_idle_per_host(0)
                .user_agent(concat!("Vestibule/", env!("CARGO_PKG_VERSION"), " (link preview)"));
            of_client.only(builder)
        });
        Some(Self { http, reach, turns: Semaphore::new(FETCHES_MAX) })
    }

    /// The address that a person means: `http` or `https`, without a fragment.
    ///
    /// # Errors
    /// [`NoPreview`] for anything else.
    pub fn address(text: &str) -> Result<Url, NoPreview> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(NoPreview);
        }
        let mut url = Url::parse(text).map_err(|_| NoPreview)?;
        url.set_fragment(None);
        Self::check(&url).map(|()| url)
    }

    fn check(url: &Url) -> Result<(), NoPreview> {
        let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if plain && url.has_host() && url.as_str().len() <= ADDRESS_BYTES_MAX { Ok(()) } else { Err(NoPreview) }
    }

    /// What is at an address.
    ///
    /// # Errors
    /// [`NoPreview`].
    pub async fn fetch(&self, url: &Url) -> Result<Preview, NoPreview> {
        let fetch = async {
            let _turn = self.turns.acquire().await.map_err(|_| NoPreview)?;
            self.preview(url).await
        };
        tokio::time::timeout(TIME_MAX, fetch).await.unwrap_or(Err(NoPreview))
    }

    async fn preview(&self, url: &Url) -> Result<Preview, NoPreview> {
        let (url, response) = self.get(url.clone(), "text/html, application/xhtml+xml, image/*;q=0.8").await?;
        let content_type = content_type(&response);
        match content_type.as_str() {
            "text/html" | "application/xhtml+xml" => {}
            other if other.starts_with("image/") => {
                let picture = picture(response).await?;
                return Ok(Preview { properties: Map::new(), picture });
            }
            _ => return Ok(Preview::default()),
        }
        let page = page::read(&text(response).await?);
        // A picture that cannot be had is left out.
        let picture = match page.picture.and_then(|picture| url.join(&picture).ok()) {
            Some(picture) => self.picture(picture).await.ok().flatten(),
            None => None,
        };
        Ok(Preview { properties: page.properties, picture })
    }

    async fn picture(&self, url: Url) -> Result<Option<Picture>, NoPreview> {
        let (_, response) = self.get(url, "image/*").await?;
        picture(response).await
    }

    /// Follows redirections; answers also the address it ended at.
    async fn get(&self, mut url: Url, accept: &str) -> Result<(Url, Response), NoPreview> {
        for _ in 0..=REDIRECTS_MAX {
            // Each step is looked at before it is taken.
            Self::check(&url)?;
            if !self.reach.names(&url) {
                return Err(NoPreview);
            }
            let response = self.http.get()?.get(url.clone()).header(header::ACCEPT, accept).send().await?;
            if !response.status().is_redirection() {
                return response.error_for_status().map(|response| (url, response)).map_err(NoPreview::from);
            }
            let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            url = location.and_then(|location| url.join(location).ok()).ok_or(NoPreview)?;
        }
        Err(NoPreview)
    }
}

/// The beginning of a page as text, in the character set that its server names.
async fn text(response: Response) -> Result<String, NoPreview> {
    let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
    let mut whole = http::Response::new(egress::read_body(response, PAGE_BYTES_MAX).await?);
    whole.headers_mut().extend(content_type.map(|content_type| (header::CONTENT_TYPE, content_type)));
    Ok(Response::from(whole).text().await?)
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The picture in an answer, if it is one.
async fn picture(response: Response) -> Result<Option<Picture>, NoPreview> {
    let bytes = egress::read_body(response, PICTURE_BYTES_MAX + 1).await?;
    if bytes.len() > PICTURE_BYTES_MAX { Err(NoPreview) } else { Ok(known_picture(bytes)) }
}

/// A picture of a kind that holds no script; its size is read without decoding it.
fn known_picture(bytes: Vec<u8>) -> Option<Picture> {
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().ok()?;
    let content_type = reader.format()?.to_mime_type();
    let (width, height) = reader.into_dimensions().ok()?;
    Some(Picture { bytes, content_type, width, height })
}

#[cfg(test)]
mod tests;
