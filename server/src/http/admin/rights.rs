//! `/admin/rights`

use super::{
    names::Meant,
    visit::{Admin, AdminForm, Fields, Page, Visit, Wrong},
};
use crate::persist::records::AclRecord;
use ::app::{
    pages::admin::{
        Named,
        rights::{Answer, Entry, Rights, RightsPage, RightsPageProps, View},
    },
    routes::{self, encoded},
    rpc::{ErrorCode, RpcError},
};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

/// The entries that fit, with names, in the order of these.
pub async fn entries(visit: &Visit, fits: impl Fn(&AclRecord) -> bool) -> Result<Vec<Entry>, Response> {
    let mut all: Vec<AclRecord> = visit.read("acl.get", ()).await?;
    all.retain(fits);
    let named = |entry: &AclRecord| visit.entry_named(&entry.subject, &entry.object, &entry.action);
    let mut shown: Vec<Entry> = all.iter().map(named).collect();
    shown.sort_by_cached_key(|entry| {
        (
            entry.subject.name.to_lowercase(),
            entry.object.name.to_lowercase(),
        )
    });
    Ok(shown)
}

pub async fn remove(visit: &Visit, form: &Fields) -> Result<&'static str, RpcError> {
    let params = form.params(&["subject", "object", "action"], &[]);
    visit.call("acl.remove", params).await.map(|_| "right-removed")
}

fn view(fields: &Fields) -> View {
    match fields.get("view") {
        "object" => View::Object,
        "explain" => View::Explain,
        _ => View::Subject,
    }
}

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

/// This page with a choice made.
fn chosen(view: View, id: &str) -> String {
    format!(
        "{}?view={}&{}={}",
        routes::ADMIN_RIGHTS,
        view.name(),
        view.name(),
        encoded(id)
    )
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let view = view(&visit.query);
    let mut rights = Rights {
        view,
        users: visit.user_names(),
        subjects: visit.subject_names(),
        here: routes::ADMIN_RIGHTS.to_owned(),
        ..Rights::default()
    };
    // What was chosen stays in its fields.
    let mut picked = Wrong::default().entered;
    picked.form = "pick".to_owned();
    picked.typed = visit.query.0.clone();
    match view {
        View::Subject | View::Object => choose(visit, &mut rights, &mut picked.errors).await?,
        View::Explain => explain(visit, &mut rights, &mut picked).await?,
    }
    rights.entered = if wrong.entered.form.is_empty() {
        picked
    } else {
        wrong.entered.clone()
    };
    visit.page("Rights", routes::ADMIN_RIGHTS, &wrong, || {
        RightsPage(RightsPageProps { rights })
    })
}

async fn choose(
    visit: &Visit,
    rights: &mut Rights,
    errors: &mut Vec<(String, String)>,
) -> Result<(), Response> {
    let view = rights.view;
    let typed = visit.query.get(view.name());
    if typed.is_empty() {
        return Ok(());
    }
    let meant = if view == View::Subject {
        visit.subject_meant(typed)
    } else {
        match visit.object_meant(typed, true).await {
            // Entries on an object that is away are still there to be removed.
            Meant::None => known_object(visit, typed).await?.map_or(Meant::None, Meant::One),
            meant => meant,
        }
    };
    match meant {
        Meant::None => {
            let what = if view == View::Subject {
                "No user or group has this name."
            } else {
                "No object has this name or id."
            };
            errors.push((view.name().to_owned(), what.to_owned()));
        }
        Meant::Several(mut matches) => {
            matches
                .iter_mut()
                .for_each(|named| named.path = chosen(view, &named.id));
            rights.matches = matches;
        }
        Meant::One(named) => {
            let own = |entry: &AclRecord| match view {
                View::Subject => entry.subject == named.id,
                _ => entry.object == named.id,
            };
            rights.here = chosen(view, &named.id);
            rights.part = visit.part(entries(visit, own).await?, &rights.here, |_, _| true);
            rights.picked = Some(named);
        }
    }
    Ok(())
}

/// An object that only entries know.
async fn known_object(visit: &Visit, id: &str) -> Result<Option<Named>, Response> {
    let all: Vec<AclRecord> = visit.read("acl.get", ()).await?;
    let known = all.iter().any(|entry| entry.object == id);
    Ok(known.then(|| visit.object_named(id)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    granted: bool,
    is_admin: bool,
    reasons: Vec<Reason>,
    inherits_from: Vec<String>,
    has_own_entries: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reason {
    entry: AclRecord,
    /// From the object to the one that the entry is on.
    path: Vec<String>,
    through_group: bool,
}

async fn explain(
    visit: &Visit,
    rights: &mut Rights,
    picked: &mut ::app::pages::admin::Entered,
) -> Result<(), Response> {
    let (user, object) = (visit.query.get("user"), visit.query.get("object"));
    let user = match visit.user_meant(user) {
        Meant::One(user) => {
            // Links name the user by id: its name is what people know.
            let typed = picked.typed.iter_mut().find(|(name, _)| name == "user");
            typed
                .map(|(_, value)| *value = user.name.clone())
                .unwrap_or_default();
            user
        }
        _ => {
            if !user.is_empty() {
                picked
                    .errors
                    .push(("user".to_owned(), "No user has this name.".to_owned()));
            }
            return Ok(());
        }
    };
    if object.is_empty() {
        return Ok(());
    }
    let permission = match visit.query.get("permission") {
        "" => "view",
        permission => permission,
    };
    let object = match visit.object_meant(object, true).await {
        Meant::One(object) => object,
        Meant::Several(mut matches) => {
            for named in &mut matches {
                named.path = format!(
                    "{}?view=explain&user={}&permission={}&object={}",
                    routes::ADMIN_RIGHTS,
                    encoded(&user.id),
                    encoded(permission),
                    encoded(&named.id)
                );
            }
            rights.matches = matches;
            return Ok(());
        }
        Meant::None => {
            picked
                .errors
                .push(("object".to_owned(), "No object has this name or id.".to_owned()));
            return Ok(());
        }
    };
    let params = json!({ "user": user.id, "object": object.id, "permission": permission });
    let explained: Explained = visit.read("acl.explain", params).await?;
    rights.answer = Some(in_words(visit, &user, &object, permission, &explained));
    Ok(())
}

fn in_words(visit: &Visit, user: &Named, object: &Named, permission: &str, explained: &Explained) -> Answer {
    let verb = match permission {
        "operate" => "operate",
        "administrate" => "administrate",
        _ => "see",
    };
    let may = if explained.granted { "may" } else { "may not" };
    let mut reasons: Vec<String> = explained
        .reasons
        .iter()
        .map(|reason| chain(visit, user, reason))
        .collect();
    if explained.is_admin {
        reasons.push(format!(
            "{} is an administrator, who may do everything.",
            user.name
        ));
    }
    let own = explained.has_own_entries.then(|| object.id.clone());
    let places = own.iter().chain(&explained.inherits_from).map(|id| {
        let mut place = visit.object_named(id);
        place.path = chosen(View::Object, id);
        place
    });
    Answer {
        granted: explained.granted,
        sentence: format!("{} {may} {verb} {} ({}).", user.name, object.name, object.kind),
        places: places.collect(),
        reasons,
    }
}

/// `The group ops, which ann is in, is operator of lab (pool). web1 (VM) inherits from lab (pool).`
fn chain(visit: &Visit, user: &Named, reason: &Reason) -> String {
    let who = if reason.through_group {
        let group = visit.subject_named(&reason.entry.subject);
        format!("The group {}, which {} is in,", group.name, user.name)
    } else {
        user.name.clone()
    };
    let full = |id: &str| {
        let named = visit.object_named(id);
        format!("{} ({})", named.name, named.kind)
    };
    let given = match reason.entry.action.as_str() {
        role @ ("viewer" | "operator" | "admin") => format!("has the role {role} on"),
        permission => format!("has the permission {permission} on"),
    };
    let mut words = format!("{who} {given} {}.", full(&reason.entry.object));
    for step in reason.path.windows(2) {
        if let [from, to] = step {
            words.push_str(&format!(" {} inherits from {}.", full(from), full(to)));
        }
    }
    words
}

pub async fn change(AdminForm(visit, form): AdminForm) -> Page {
    let result = match form.get("form") {
        "add" => match add(&visit, &form).await {
            Ok(result) => result,
            Err(wrong) => return page(&visit, *wrong).await,
        },
        "remove-right" => remove(&visit, &form).await,
        _ => return visit.unknown_form(),
    };
    let view = view(&visit.query);
    let here = match view {
        View::Explain => routes::ADMIN_RIGHTS.to_owned(),
        view => chosen(view, visit.query.get(view.name())),
    };
    match result {
        Ok(notice) => visit.done(&here, notice),
        Err(error) => {
            let blamed = [(ErrorCode::NO_SUCH_OBJECT, "subject")];
            page(&visit, Wrong::of(&error, &form, &blamed)).await
        }
    }
}

/// The outcome of the call, or what was wrong with what was typed.
async fn add(visit: &Visit, form: &Fields) -> Result<Result<&'static str, RpcError>, Box<Wrong>> {
    let field = |name: &str, words: &str| Box::new(Wrong::field(form, name, words));
    let subject = match visit.subject_meant(form.get("subject")) {
        Meant::One(subject) => subject.id,
        Meant::Several(_) => {
            return Err(field(
                "subject",
                "A user or several groups have this name: enter the id, which is in the address of its page.",
            ));
        }
        Meant::None => return Err(field("subject", "No user or group has this name.")),
    };
    let object = match visit.object_meant(form.get("object"), false).await {
        Meant::One(object) => object.id,
        Meant::Several(several) => {
            let words = format!(
                "{} objects have this name: choose one under \"By object\", or enter its id.",
                several.len()
            );
            return Err(field("object", &words));
        }
        Meant::None => return Err(field("object", "No object has this name or id.")),
    };
    let params: Value = json!({ "subject": subject, "object": object, "action": form.get("action") });
    Ok(visit.call("acl.add", params).await.map(|_| "right-added"))
}
