//! Files: picked, pasted or dropped; recognised by their bytes, and made smaller where the browser can.

use jnana_api::plugins::{PluginInfo, PluginState};
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::Blob;

use super::{accept, frame};
use crate::browser;
use crate::components::icons;
use crate::logic::{sniff, words};
use crate::tray::Tray;

/// Kinds of frame that are sent as they are when they are small enough.
const KEPT: &[&str] = &["image/jpeg", "image/png", "image/webp"];

/// A button that picks a file of the plugin's types.
#[component]
pub(super) fn FilePicker(plugin: StoredValue<PluginInfo>, tray: Tray, prominent: bool) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let problem = RwSignal::new(String::new());
    let pick = move |_| {
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    let picked = move |_| {
        let Some(input) = input.get_untracked() else { return };
        let file = input.files().and_then(|files| files.get(0));
        input.set_value("");
        if let Some(file) = file {
            take(plugin, tray, problem, file.into());
        }
    };
    let accept = plugin.with_value(accept);
    if accept.is_empty() && !prominent {
        return ().into_any();
    }
    view! {
        <div class="panel-row">
            <button type="button" class:primary=prominent on:click=pick>
                {icons::upload()}"Choose a file"
            </button>
            <input node_ref=input type="file" class="sr" tabindex="-1" aria-label="File" accept=accept
                on:change=picked/>
            <span class="hint">"or paste, or drop it here"</span>
        </div>
        <p class="trouble" role="alert" hidden=move || problem.with(String::is_empty)>{problem}</p>
    }
    .into_any()
}

fn take(plugin: StoredValue<PluginInfo>, tray: Tray, problem: RwSignal<String>, file: Blob) {
    let info = plugin.get_value();
    spawn_local(async move {
        let head = browser::head(&file, sniff::HEAD_BYTES).await;
        match prepare(&info, &mime_of(&head, &file), file).await {
            Ok(blob) => {
                tray.add(&info, blob);
                // Another control may have been opened meanwhile; it stays.
                if tray.open.with_untracked(|open| open.as_ref() == Some(&info.id)) {
                    tray.close();
                }
            }
            Err(words) => drop(problem.try_set(words)),
        }
    });
}

/// The first working plugin that takes a file, and the bytes to send to it; in words when there is none.
pub(crate) async fn prepare_for_any(
    plugins: &[PluginInfo],
    file: Blob,
) -> Result<(PluginInfo, Blob), String> {
    let head = browser::head(&file, sniff::HEAD_BYTES).await;
    let mime = mime_of(&head, &file);
    let takes = |info: &&PluginInfo| {
        let accepts =
            info.manifest.as_ref().is_some_and(|manifest| sniff::is_accepted(&manifest.ui.accept, &mime));
        accepts || (is_frame(&mime) && takes_frames(info))
    };
    let takers: Vec<&PluginInfo> = plugins.iter().filter(takes).collect();
    let ready = takers.iter().find(|info| info.state == PluginState::Ready);
    match (ready, takers.first()) {
        (Some(info), _) => prepare(info, &mime, file).await.map(|blob| ((*info).clone(), blob)),
        (None, Some(info)) => Err(match &info.state {
            PluginState::Failed { reason } => format!("This file cannot be used now: {reason}"),
            _ => "The plugin for this kind of file is switched off.".to_owned(),
        }),
        (None, None) => Err(format!("Nothing here takes {} files.", kind_name(&mime))),
    }
}

/// The bytes to send for a file: a frame no larger than needed, anything else as it is.
async fn prepare(plugin: &PluginInfo, mime: &str, file: Blob) -> Result<Blob, String> {
    let Some(manifest) = &plugin.manifest else { return Err("This plugin could not be read.".to_owned()) };
    let accepted = manifest.ui.accept.is_empty() || sniff::is_accepted(&manifest.ui.accept, mime);
    if is_frame(mime) && takes_frames(plugin) {
        let keep_small = KEPT.contains(&mime);
        return match frame::of_file(&file, keep_small).await {
            Ok(Some(blob)) => Ok(blob),
            Ok(None) => typed(file, mime),
            Err(_) if keep_small => Err(format!("This {} file is damaged.", kind_name(mime))),
            Err(_) => Err(format!(
                "This browser cannot read {} files. Save it as JPEG or PNG and choose it again.",
                kind_name(mime)
            )),
        };
    }
    if !accepted {
        return Err(format!("“{}” does not take {} files.", manifest.ui.label, kind_name(mime)));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a length in bytes
    let bytes = file.size() as u64;
    if bytes > manifest.max_input_bytes {
        let (is, most) = (words::size(bytes), words::size(manifest.max_input_bytes));
        return Err(format!("This file has {is}; at most {most} can be taken."));
    }
    typed(file, mime)
}

/// The same bytes under the type that they really are.
fn typed(file: Blob, mime: &str) -> Result<Blob, String> {
    if file.type_() == mime {
        return Ok(file);
    }
    file.slice_with_f64_and_f64_and_content_type(0.0, file.size(), mime)
        .map_err(|error| browser::message(&error))
}

fn takes_frames(plugin: &PluginInfo) -> bool {
    plugin.manifest.as_ref().is_some_and(|manifest| manifest.ui.accept.iter().any(|mime| is_frame(mime)))
}

fn is_frame(mime: &str) -> bool {
    mime.starts_with("image/")
}

fn mime_of(head: &[u8], file: &Blob) -> String {
    sniff::mime(head).map_or_else(|| file.type_(), str::to_owned)
}

fn kind_name(mime: &str) -> String {
    if mime.is_empty() { "such".to_owned() } else { sniff::name(mime) }
}
