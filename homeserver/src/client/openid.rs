//! Proving to others who one is
//! ([spec v1.19, § OpenID](https://spec.matrix.org/v1.19/client-server-api/#openid)).

use std::time::Duration;

use engine::Reject;
use engine::account::{self, OPENID_TOKEN_MS, Secret};
use http::Method;
use ruma::api::client::account::request_openid_token;
use ruma::authentication::TokenType;
use serde_json::json;

use crate::app::App;
use crate::http::requester::access_token;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, json_response};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(request_token).raw(Method::GET, "/_matrix/federation/v1/openid/userinfo", Access::None, user_info)
}

/// `POST /user/{userId}/openid/request_token`
async fn request_token(
    app: App,
    request: Ruma<request_openid_token::v3::Request>,
) -> Result<request_openid_token::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    if *user_id != request.body.user_id {
        return Err(Reject::forbidden("you can prove only who you are yourself").into());
    }
    let token = app.entropy.token("vso_");
    let secret = Secret::new(token.clone());
    app.run(|cx| account::create_openid_token(cx, user_id, &secret)).await?;
    let lifetime = Duration::from_millis(OPENID_TOKEN_MS);
    Ok(request_openid_token::v3::Response::new(token, TokenType::Bearer, app.server.name.clone(), lifetime))
}

/// `GET /_matrix/federation/v1/openid/userinfo`: the one call of federation, for whoever was given such a token
/// ([Server-Server API § OpenID](https://spec.matrix.org/v1.19/server-server-api/#openid)).
async fn user_info(app: App, request: RawRequest) -> Answer {
    let token = access_token(&request.parts).ok_or_else(ApiError::missing_token)?;
    let user_id = app.read(|cx| account::openid_user(cx, &token))?;
    Ok(json_response(&json!({ "sub": user_id })))
}
