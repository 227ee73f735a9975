//! Push rules and pushers ([spec v1.19, § Push notifications](https://spec.matrix.org/v1.19/client-server-api/#push-notifications)).

use engine::Reject;
use engine::account::{self, ChangePushRules, PushRuleChange, SetPusher};
use http::{Method, StatusCode};
use ruma::UserId;
use ruma::api::client::push::{
    PusherKind, delete_pushrule, get_pushrule, get_pushrule_actions, get_pushrule_enabled, get_pushrules_all,
    get_pushrules_global_scope, set_pusher, set_pusher::v3::PusherAction, set_pushrule, set_pushrule_actions,
    set_pushrule_enabled,
};
use ruma::push::{AnyPushRule, RuleKind};
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, empty_response, json_response};
use crate::workers::push::Gateway;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes
        .ruma(all)
        .ruma(global)
        .ruma(get)
        .ruma(actions)
        .ruma(enabled)
        .ruma(put_actions)
        .ruma(put_enabled)
        .ruma(delete)
        .ruma(put_pusher);
    for root in ["/_matrix/client/r0", "/_matrix/client/v3"] {
        let rule = format!("{root}/pushrules/global/{{kind}}/{{rule_id}}");
        routes = routes.raw(Method::PUT, &rule, Access::Required, put);
        routes = routes.raw(Method::GET, &format!("{root}/pushers"), Access::Required, pushers);
    }
    routes
}

fn rule(app: &App, user_id: &UserId, kind: &RuleKind, rule_id: &str) -> Result<AnyPushRule, ApiError> {
    let rules = app.read(|cx| Ok(account::push_rules(cx, user_id)?))?;
    let rule = rules.get(kind.clone(), rule_id).map(ruma::push::AnyPushRuleRef::to_owned);
    rule.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", "there is no such push rule"))
}

async fn change(app: &App, user_id: &UserId, change: PushRuleChange) -> Result<(), ApiError> {
    let command = ChangePushRules { user_id: user_id.to_owned(), change };
    app.run(|cx| account::change_push_rules(cx, &command)).await
}

/// `GET /pushrules/`
async fn all(app: App, request: Ruma<get_pushrules_all::v3::Request>) -> Result<get_pushrules_all::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    Ok(get_pushrules_all::v3::Response::new(app.read(|cx| Ok(account::push_rules(cx, user_id)?))?))
}

/// `GET /pushrules/global/`
async fn global(
    app: App,
    request: Ruma<get_pushrules_global_scope::v3::Request>,
) -> Result<get_pushrules_global_scope::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    Ok(get_pushrules_global_scope::v3::Response::new(app.read(|cx| Ok(account::push_rules(cx, user_id)?))?))
}

/// `GET /pushrules/global/{kind}/{ruleId}`
async fn get(app: App, request: Ruma<get_pushrule::v3::Request>) -> Result<get_pushrule::v3::Response, ApiError> {
    let rule = rule(&app, &request.requester()?.user_id, &request.body.kind, &request.body.rule_id)?;
    Ok(get_pushrule::v3::Response::new(rule.into()))
}

/// `GET /pushrules/global/{kind}/{ruleId}/actions`
async fn actions(
    app: App,
    request: Ruma<get_pushrule_actions::v3::Request>,
) -> Result<get_pushrule_actions::v3::Response, ApiError> {
    let rule = rule(&app, &request.requester()?.user_id, &request.body.kind, &request.body.rule_id)?;
    Ok(get_pushrule_actions::v3::Response::new(rule.actions().to_owned()))
}

/// `GET /pushrules/global/{kind}/{ruleId}/enabled`
async fn enabled(
    app: App,
    request: Ruma<get_pushrule_enabled::v3::Request>,
) -> Result<get_pushrule_enabled::v3::Response, ApiError> {
    let rule = rule(&app, &request.requester()?.user_id, &request.body.kind, &request.body.rule_id)?;
    Ok(get_pushrule_enabled::v3::Response::new(rule.enabled()))
}

/// `PUT /pushrules/global/{kind}/{ruleId}`
async fn put(app: App, mut request: RawRequest) -> Answer {
    let user_id = request.requester()?.user_id.clone();
    // A rule without conditions always applies, and may leave them out; ruma's type wants them.
    if let Ok(Value::Object(mut rule)) = serde_json::from_slice(&request.body)
        && !rule.contains_key("conditions")
    {
        rule.insert("conditions".to_owned(), json!([]));
        request.body = Value::Object(rule).to_string().into();
    }
    let set_pushrule::v3::Request { rule, after, before, .. } = Ruma::parse(request)?.body;
    change(&app, &user_id, PushRuleChange::Put { rule, after, before }).await?;
    Ok(empty_response())
}

/// `PUT /pushrules/global/{kind}/{ruleId}/actions`
async fn put_actions(
    app: App,
    request: Ruma<set_pushrule_actions::v3::Request>,
) -> Result<set_pushrule_actions::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let set_pushrule_actions::v3::Request { kind, rule_id, actions, .. } = request.body;
    change(&app, &user_id, PushRuleChange::Actions { kind, rule_id, actions }).await?;
    Ok(set_pushrule_actions::v3::Response::new())
}

/// `PUT /pushrules/global/{kind}/{ruleId}/enabled`
async fn put_enabled(
    app: App,
    request: Ruma<set_pushrule_enabled::v3::Request>,
) -> Result<set_pushrule_enabled::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let set_pushrule_enabled::v3::Request { kind, rule_id, enabled, .. } = request.body;
    change(&app, &user_id, PushRuleChange::Enabled { kind, rule_id, enabled }).await?;
    Ok(set_pushrule_enabled::v3::Response::new())
}

/// `DELETE /pushrules/global/{kind}/{ruleId}`
async fn delete(app: App, request: Ruma<delete_pushrule::v3::Request>) -> Result<delete_pushrule::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let delete_pushrule::v3::Request { kind, rule_id, .. } = request.body;
    change(&app, &user_id, PushRuleChange::Delete { kind, rule_id }).await?;
    Ok(delete_pushrule::v3::Response::new())
}

/// `GET /pushers`
async fn pushers(app: App, request: RawRequest) -> Answer {
    let user_id = &request.requester()?.user_id;
    let pushers = app.read(|cx| Ok(account::pushers(cx, user_id)?))?;
    let pushers: Vec<_> = pushers.into_iter().map(|(_, pusher)| pusher).collect();
    Ok(json_response(&json!({ "pushers": pushers })))
}

/// `POST /pushers/set`
async fn put_pusher(app: App, request: Ruma<set_pusher::v3::Request>) -> Result<set_pusher::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    let (ids, pusher, append) = match request.body.action {
        PusherAction::Post(data) => {
            if let PusherKind::Http(http) = &data.pusher.kind {
                Gateway::new(&app, &http.url).map_err(|error| Reject::invalid_param(error.to_string()))?;
            }
            (data.pusher.ids.clone(), Some(data.pusher), data.append)
        }
        PusherAction::Delete(ids) => (ids, None, false),
        _ => return Err(ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", "this kind of pusher is not known")),
    };
    let command = SetPusher { requester, app_id: ids.app_id, pushkey: ids.pushkey, pusher, append };
    app.run(|cx| account::set_pusher(cx, &command)).await?;
    Ok(set_pusher::v3::Response::new())
}
