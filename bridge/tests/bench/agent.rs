//! An agent, by the calls the desk's page makes.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, until};

pub struct Agent {
    desk: String,
    http: reqwest::Client,
    cookie: String,
    name: String,
    answers: AtomicU64,
}

impl Agent {
    pub async fn sign_in(desk: &str, name: &str) -> Self {
        let http = reqwest::Client::new();
        let answer = http
            .post(format!("{desk}/api/session"))
            .json(&json!({"name": name, "password": PASSWORD}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 204);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { desk: desk.to_owned(), http, cookie, name: name.to_owned(), answers: AtomicU64::new(0) }
    }

    /// One call; `None` if the bridge isn't there at the moment.
    pub async fn try_call(&self, method: Method, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}/api/{path}", self.desk)).header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        until("the desk answers", || self.try_call(method.clone(), path, body)).await
    }

    pub async fn duty(&self, on_duty: bool) {
        let answer = self.call(Method::PUT, "duty", Some(&json!({ "on_duty": on_duty }))).await;
        assert_eq!(answer.0, 204);
    }

    pub async fn queue(&self) -> Vec<Value> {
        self.call(Method::GET, "tickets", None).await.1.as_array().cloned().unwrap_or_default()
    }

    pub async fn ticket(&self, id: i64) -> Value {
        self.call(Method::GET, &format!("tickets/{id}"), None).await.1
    }

    /// What people wrote in a ticket, in order.
    pub async fn texts(&self, id: i64) -> Vec<String> {
        entries(&self.ticket(id).await, "person")
    }

    /// What the bridge told the agents in a ticket.
    pub async fn notes(&self, id: i64) -> Vec<String> {
        entries(&self.ticket(id).await, "bridge")
    }

    /// The open ticket of the person called `contact`.
    pub async fn find(&self, contact: &str) -> i64 {
        until("a ticket", || async {
            let queue = self.queue().await;
            queue.iter().find(|ticket| ticket["contact"] == contact && ticket["closed"] == false)?["id"].as_i64()
        })
        .await
    }

    /// Answers, and repeats the call until the desk has it, as the page does.
    pub async fn answer(&self, id: i64, text: &str) {
        let key = format!("{}-{}", self.name, self.answers.fetch_add(1, Ordering::SeqCst));
        let body = json!({"key": key, "text": text});
        assert_eq!(self.call(Method::POST, &format!("tickets/{id}/answers"), Some(&body)).await.0, 204);
    }

    /// Says that the agent is typing an answer, or has stopped, as the page does.
    pub async fn types(&self, id: i64, typing: bool) {
        let body = json!({ "typing": typing });
        assert_eq!(self.call(Method::PUT, &format!("tickets/{id}/typing"), Some(&body)).await.0, 204);
    }

    pub async fn close(&self, id: i64) {
        assert_eq!(self.call(Method::POST, &format!("tickets/{id}/close"), Some(&json!({}))).await.0, 204);
    }

    pub async fn download(&self, entry: i64) -> Vec<u8> {
        let request = self.http.get(format!("{}/api/files/{entry}", self.desk)).header("cookie", &self.cookie);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        answer.bytes().await.unwrap().to_vec()
    }
}

fn entries(ticket: &Value, author: &str) -> Vec<String> {
    let entries = ticket["entries"].as_array().cloned().unwrap_or_default();
    let of_author = entries.iter().filter(|entry| entry["author"] == author);
    of_author.map(|entry| entry["text"].as_str().unwrap_or_default().to_owned()).collect()
}
