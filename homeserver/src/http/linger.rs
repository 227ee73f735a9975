//! A refusal that reaches the client. Most clients read no answer before they have sent their whole body; a connection closed
//! under them shows them a broken network instead of "the file is too large". So what a handler leaves of a body is read and
//! dropped, for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

use crate::tasks::Tasks;

/// How long an unwanted body is read on.
const TIME_MAX: Duration = Duration::from_secs(30);

/// How much of it: a file several times the usual limit.
const BYTES_MAX: usize = 1024 * 1024 * 1024;

/// A body whose rest is read when it is dropped.
struct Lingering {
    body: Body,
    tasks: Tasks,
    ended: bool,
}

/// `body`, read to its end by whoever gets it or else by a task.
pub fn lingering(headers: &HeaderMap, body: Body, tasks: &Tasks) -> Body {
    // Who asks whether to send the body has not begun to.
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return body;
    }
    Body::new(Lingering { body, tasks: tasks.clone(), ended: false })
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.ended = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() && !self.tasks.is_ended() {
            let body = std::mem::take(&mut self.body);
            let tasks = self.tasks.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = tasks.ended() => {}
                    _ = tokio::time::timeout(TIME_MAX, drain(body)) => {}
                }
            });
        }
    }
}

async fn drain(mut body: Body) {
    let mut left = BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}
