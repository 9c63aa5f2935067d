//! The way in.

use leptos::prelude::*;

use super::desk::use_desk;
use crate::components::icons;

/// Asks for the admin token.
#[component]
pub(super) fn SignIn() -> impl IntoView {
    let desk = use_desk();
    let token = RwSignal::new(String::new());
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        desk.sign_in(token.get_untracked().trim().to_owned());
    };
    view! {
        <main class="admin-door">
            {icons::mark()}
            <h1>"Administration"</h1>
            <form on:submit=send>
                <label class="form-row" for="admin-token">"Admin token"</label>
                <input id="admin-token" class="field" type="password" required autocomplete="current-password"
                    aria-describedby="admin-token-help" prop:value=token
                    on:input=move |event| token.set(event_target_value(&event))/>
                <p id="admin-token-help" class="hint">
                    "It was shown when the server started for the first time. "<code>"jnana admin token"</code>
                    " makes a new one."
                </p>
                {move || desk.trouble.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
                <button type="submit" class="primary" disabled=move || desk.is_signing_in.get()>"Sign in"</button>
            </form>
            <a href="/">"Back to the conversations"</a>
        </main>
    }
}
