//! Frames of pixels: drawn small enough, and encoded.

use js_sys::{Function, Promise};
use leptos::prelude::{document, window};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, CanvasRenderingContext2d, HtmlCanvasElement, HtmlVideoElement, ImageBitmap};

use crate::browser;
use crate::logic::fit;

/// Longest side of a frame that is sent, in pixels.
const LONGEST_SIDE: u32 = 1_024;
/// JPEG quality.
const QUALITY: f64 = 0.9;

/// The frame that a video shows now, as JPEG.
pub(super) async fn of_video(video: &HtmlVideoElement) -> Result<Blob, JsValue> {
    let (width, height) = fit::within(video.video_width(), video.video_height(), LONGEST_SIDE);
    let (canvas, context) = surface(width, height)?;
    context.draw_image_with_html_video_element_and_dw_and_dh(video, 0.0, 0.0, width.into(), height.into())?;
    encode(&canvas).await
}

/// A file's frame, upright, at most [`LONGEST_SIDE`] pixels long, as JPEG; `None` when it is small enough as it is.
pub(super) async fn of_file(file: &Blob, keep_small: bool) -> Result<Option<Blob>, JsValue> {
    let bitmap = JsFuture::from(window().create_image_bitmap_with_blob(file)?).await?;
    let bitmap: ImageBitmap = bitmap.unchecked_into();
    let (width, height) = fit::within(bitmap.width(), bitmap.height(), LONGEST_SIDE);
    if keep_small && (width, height) == (bitmap.width(), bitmap.height()) {
        bitmap.close();
        return Ok(None);
    }
    let (canvas, context) = surface(width, height)?;
    // JPEG knows no transparency: what is clear becomes white rather than black.
    context.set_fill_style_str("#fff");
    context.fill_rect(0.0, 0.0, width.into(), height.into());
    let drawn =
        context.draw_image_with_image_bitmap_and_dw_and_dh(&bitmap, 0.0, 0.0, width.into(), height.into());
    bitmap.close();
    drawn?;
    encode(&canvas).await.map(Some)
}

fn surface(width: u32, height: u32) -> Result<(HtmlCanvasElement, CanvasRenderingContext2d), JsValue> {
    if width == 0 || height == 0 {
        return Err(js_sys::Error::new("there is no frame yet").into());
    }
    let canvas: HtmlCanvasElement = document().create_element("canvas")?.unchecked_into();
    canvas.set_width(width);
    canvas.set_height(height);
    let context =
        canvas.get_context("2d")?.ok_or_else(|| js_sys::Error::new("there is no drawing surface"))?;
    let context: CanvasRenderingContext2d = context.unchecked_into();
    context.set_image_smoothing_enabled(true);
    // Not in every browser; those without it smooth as they always do.
    drop(js_sys::Reflect::set(&context, &"imageSmoothingQuality".into(), &"high".into()));
    Ok((canvas, context))
}

async fn encode(canvas: &HtmlCanvasElement) -> Result<Blob, JsValue> {
    let promise = Promise::new(&mut |resolve: Function, reject: Function| {
        if let Err(error) =
            canvas.to_blob_with_type_and_encoder_options(&resolve, "image/jpeg", &JsValue::from_f64(QUALITY))
        {
            drop(reject.call1(&JsValue::UNDEFINED, &error));
        }
    });
    let blob = JsFuture::from(promise).await?;
    blob.dyn_into().map_err(|_| js_sys::Error::new("the frame could not be encoded").into())
}

/// The words of a failure in this module.
pub(super) fn words(error: &JsValue) -> String {
    format!("The frame could not be taken: {}", browser::message(error))
}
