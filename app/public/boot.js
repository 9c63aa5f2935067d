// Starts the app. A file of its own, because the page's policy allows no scripts within the page.

// The chosen colours come before the first paint of the app, so that nothing flashes.
try {
  const theme = JSON.parse(localStorage.getItem("jnana.settings") ?? "{}").theme;
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's colours it is.
}

// Administration is a module of its own: whoever converses does not wait for it.
const name = /^\/admin(\/|$)/.test(location.pathname) ? "admin" : "app";

try {
  const { default: init } = await import(`/${name}.js`);
  await init({ module_or_path: `/${name}_bg.wasm` });
} catch (error) {
  const words = document.getElementById("shell-words");
  if (words) words.textContent = `The app could not be loaded (${error.message}). Reload the page to try again.`;
  throw error;
}
