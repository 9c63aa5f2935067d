//! Small wrappers around the browser's own functions.

use js_sys::{Date, Promise};
use leptos::prelude::{document, window};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, HtmlElement, MouseEvent};

/// Takes the shell away that the page shows until the app runs.
pub(crate) fn remove_shell() {
    if let Some(shell) = document().get_element_by_id("shell") {
        shell.remove();
    }
}

/// Waits.
pub(crate) async fn sleep(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        // Without a timer the wait ends at once rather than never.
        if window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds).is_err() {
            drop(resolve.call0(&JsValue::UNDEFINED));
        }
    });
    drop(JsFuture::from(promise).await);
}

/// The path of the page's address.
pub(crate) fn path() -> String {
    window().location().pathname().unwrap_or_default()
}

/// Puts a path into the address and the browser's history, without loading anything.
pub(crate) fn push_path(path: &str) {
    if let Ok(history) = window().history() {
        drop(history.push_state_with_url(&JsValue::NULL, "", Some(path)));
    }
}

/// Whether a click on a link wants it here, and not in another tab or window.
pub(crate) fn is_plain(click: &MouseEvent) -> bool {
    let has_key = click.ctrl_key() || click.meta_key() || click.shift_key() || click.alt_key();
    !has_key && click.button() == 0
}

/// Unix milliseconds.
pub(crate) fn now() -> f64 {
    Date::now()
}

/// A time (Unix milliseconds) as people here write it.
#[allow(clippy::cast_precision_loss)] // times of this century
pub(crate) fn local_time(time: i64) -> String {
    Date::new(&JsValue::from_f64(time as f64)).to_locale_string("default", &JsValue::UNDEFINED).into()
}

/// Whole local days between a time (Unix milliseconds) and today.
#[allow(clippy::cast_possible_truncation)] // days since 1970
pub(crate) fn days_ago(time: f64) -> i64 {
    let day =
        |date: &Date| ((date.get_time() / 60_000.0 - date.get_timezone_offset()) / 1_440.0).floor() as i64;
    day(&Date::new_0()) - day(&Date::new(&JsValue::from_f64(time)))
}

/// A stored value; `None` where there is none or storage is switched off.
pub(crate) fn stored(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Keeps a value over visits; where storage is switched off nothing happens.
pub(crate) fn store(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        drop(storage.set_item(key, value));
    }
}

/// Whether the page is in sight.
pub(crate) fn is_visible() -> bool {
    !document().hidden()
}

/// Bytes with a MIME type.
pub(crate) fn blob(bytes: &[u8], mime: &str) -> Result<Blob, JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(mime);
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(bytes));
    Blob::new_with_u8_array_sequence_and_options(&parts, &options)
}

/// The first bytes of a blob.
pub(crate) async fn head(blob: &Blob, bytes: usize) -> Vec<u8> {
    #[allow(clippy::cast_precision_loss)] // a few bytes
    let Ok(part) = blob.slice_with_f64_and_f64(0.0, bytes as f64) else { return Vec::new() };
    match JsFuture::from(part.array_buffer()).await {
        Ok(buffer) => js_sys::Uint8Array::new(&buffer).to_vec(),
        Err(_) => Vec::new(),
    }
}

/// A `blob:` address under which the page can show bytes; free it with [`free`].
pub(crate) fn object_url(blob: &Blob) -> Option<String> {
    web_sys::Url::create_object_url_with_blob(blob).ok()
}

/// Frees an address made by [`object_url`].
pub(crate) fn free(url: &str) {
    drop(web_sys::Url::revoke_object_url(url));
}

/// Puts text on the clipboard; `false` where the browser does not let us.
pub(crate) async fn copy(text: &str) -> bool {
    let clipboard = js_sys::Reflect::get(&window().navigator(), &"clipboard".into());
    if clipboard.is_ok_and(|clipboard| !clipboard.is_undefined()) {
        return JsFuture::from(window().navigator().clipboard().write_text(text)).await.is_ok();
    }
    copy_by_selection(text)
}

/// The old way, for pages over plain HTTP, which have no clipboard.
fn copy_by_selection(text: &str) -> bool {
    let Some(body) = document().body() else { return false };
    let Ok(area) = document().create_element("textarea") else { return false };
    let Ok(area) = area.dyn_into::<web_sys::HtmlTextAreaElement>() else { return false };
    area.set_value(text);
    area.set_class_name("sr");
    if body.append_child(&area).is_err() {
        return false;
    }
    area.select();
    let exec = js_sys::Reflect::get(&document(), &"execCommand".into())
        .ok()
        .and_then(|f| f.dyn_into::<js_sys::Function>().ok());
    let copied = exec
        .and_then(|exec| exec.call1(&document(), &"copy".into()).ok())
        .is_some_and(|value| value.is_truthy());
    area.remove();
    copied
}

/// Saves bytes as a file of the person's.
pub(crate) fn save(blob: &Blob, name: &str) {
    let Some(url) = object_url(blob) else { return };
    if let Ok(anchor) = document().create_element("a")
        && let Ok(anchor) = anchor.dyn_into::<HtmlAnchorElement>()
    {
        anchor.set_href(&url);
        anchor.set_download(name);
        anchor.click();
    }
    free(&url);
}

/// Moves the focus to the first element that a selector finds, once the page has been drawn.
pub(crate) fn focus_soon(selector: &'static str) {
    leptos::prelude::request_animation_frame(move || {
        if let Ok(Some(element)) = document().query_selector(selector)
            && let Ok(element) = element.dyn_into::<HtmlElement>()
        {
            drop(element.focus());
        }
    });
}

/// The message of a JavaScript error.
pub(crate) fn message(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{error:?}"), |error| String::from(error.message()))
}

/// The name of a `DOMException`, such as `NotAllowedError`.
pub(crate) fn error_name(error: &JsValue) -> String {
    error.dyn_ref::<web_sys::DomException>().map(web_sys::DomException::name).unwrap_or_default()
}
