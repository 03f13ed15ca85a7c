//! Numbers.

use axum::extract::{Path, State};

use super::{Answer, Look, Said, created, id, ok, part};
use crate::dialect::agentnumber::wire::{NewNumber, NumberChange, Patch};
use crate::dialect::agentnumber::{
    NumberView, Voiced, changed, deleted, given, provisioned, remembered, success, voice,
};
use crate::domain::{Number, NumberId, NumberStatus};
use crate::gateway::{PatchNumber, ProvisionNumber};
use crate::http::App;
use crate::http::auth::Who;
use crate::http::problem::Problem;
use crate::store::NumberFilter;

/// Their list has no pages: more numbers than this no account has.
const ALL: usize = 1_000;

/// What a voice id comes to on this box.
pub(super) fn voiced(app: &App, id: Option<&str>) -> Voiced {
    let config = app.gateway.config();
    let is_ours = |name: &str| config.voices().iter().any(|voice| voice == name);
    id.map_or_else(Voiced::default, |id| voice(id, &config.dialects.agentnumber.voices, is_ours))
}

pub(super) async fn provision(State(app): State<App>, Who(who): Who, Said(new): Said<NewNumber>) -> Answer {
    let voiced = voiced(&app, new.voice_id.as_deref());
    let (settings, notes) =
        provisioned(&new, voiced).map_err(|reason| Problem::field("system_prompt", reason))?;
    let request = ProvisionNumber {
        area_code: new.area_code,
        inbound: settings.clone(),
        outbound: settings,
        metadata: new.metadata.unwrap_or_default(),
        extra: remembered(None, &given(new.voice_id), &given(new.inbound_mode)),
        ..ProvisionNumber::default()
    };
    let number = app.gateway.provision_number(&who, request).await?;
    created(success(NumberView::new(&number, notes)))
}

pub(super) async fn list(State(app): State<App>, Who(who): Who) -> Answer {
    let page = |cursor, limit| {
        let (gateway, who) = (app.gateway.clone(), who.clone());
        async move { gateway.numbers(&who, NumberFilter::default(), cursor, limit).await }
    };
    let look = |number: &Number| match number.status {
        NumberStatus::Active => Look::Show,
        NumberStatus::Released => Look::Pass,
    };
    let (numbers, _) = part(0, ALL, look, page).await?;
    let views: Vec<_> = numbers.iter().map(|number| NumberView::new(number, Vec::new())).collect();
    ok(success(views))
}

pub(super) async fn get(State(app): State<App>, Who(who): Who, Path(text): Path<String>) -> Answer {
    let number = app.gateway.number(&who, id::<NumberId>(&text)?).await?;
    ok(success(NumberView::new(&number, Vec::new())))
}

pub(super) async fn change(
    State(app): State<App>,
    Who(who): Who,
    Path(text): Path<String>,
    Said(change): Said<NumberChange>,
) -> Answer {
    let before = app.gateway.number(&who, id::<NumberId>(&text)?).await?;
    if change.is_empty() {
        let fields = "system_prompt, webhook_url, voice_id, first_message, inbound_mode or metadata";
        return Err(Problem::field("system_prompt", format!("nothing is to change; give {fields}")));
    }
    let voiced = match &change.voice_id {
        Patch::Set(id) => voiced(&app, Some(id)),
        _ => Voiced::default(),
    };
    let (inbound, notes) = changed(&before.inbound, &change, voiced.clone());
    let (outbound, _) = changed(&before.outbound, &change, voiced);
    let extra = remembered(Some(&before), &change.voice_id, &change.inbound_mode);
    let metadata = match change.metadata {
        Patch::Kept => None,
        Patch::Cleared => Some(Default::default()),
        Patch::Set(metadata) => Some(metadata),
    };
    let patch = PatchNumber {
        inbound: Some(inbound.into()),
        outbound: Some(outbound.into()),
        metadata,
        extra: Some(extra),
        ..PatchNumber::default()
    };
    let number = app.gateway.patch_number(&who, before.id, patch).await?;
    ok(success(NumberView::new(&number, notes)))
}

pub(super) async fn release(State(app): State<App>, Who(who): Who, Path(text): Path<String>) -> Answer {
    let number = app.gateway.release_number(&who, id::<NumberId>(&text)?).await?;
    ok(deleted(number.id.as_str()))
}
