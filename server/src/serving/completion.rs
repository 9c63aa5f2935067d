//! From what a folder brings to a whole generation: what it leaves out is what serves, as far as that fits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::{DType, Device};
use jnana_models::Adapter;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_plugin_host::ENCODER;

use super::candidate::{Merge, refused};
use super::folder::Brought;
use crate::assistant::{Assistant, Sources, projector_setting};
use crate::error::ApiError;
use crate::settings::Settings;

/// What was brought, with what serves in the places that it leaves empty.
pub(super) fn complete(
    settings: &Settings,
    serving: &Assistant,
    brought: &Brought,
) -> Result<(Sources, Option<Merge>), ApiError> {
    let now = &serving.model.sources;
    let projectors = assigned(settings, serving, brought)?;
    let infos = projectors.iter().map(|(plugin, file)| Ok((plugin.as_str(), info_of(file)?)));
    let infos: BTreeMap<&str, ProjectorInfo> = infos.collect::<Result<_, ApiError>>()?;
    let old_space = serving.model.info.space.clone();
    let space = match brought {
        Brought { core: Some(_), space, .. } => space.clone(),
        Brought { adapter: Some(_), .. } => Some(tuned_space(serving, &infos)?),
        _ => Some(old_space.clone()),
    };
    let keeps = space.as_ref() == Some(&old_space);
    let kept = now.projectors.iter().filter(|(plugin, _)| keeps && !infos.contains_key(plugin.as_str()));
    let kept = kept.map(|(plugin, file)| (plugin.clone(), file.clone()));
    let width = brought.core.is_none().then_some(serving.model.info.width as usize);
    check_spaces(&infos, space.as_deref(), width)?;
    let own_adapter = brought.adapter.clone().filter(|_| brought.core.is_none() || brought.adapter_runs);
    let merge = brought.adapter.clone().filter(|_| brought.core.is_some() && !brought.adapter_runs);
    let sources = Sources {
        model: brought.core.clone().unwrap_or_else(|| now.model.clone()),
        weights: brought.core.clone().unwrap_or_else(|| now.weights.clone()),
        // Clients ask for the name that they know, unless a core says that it is another one.
        name: brought.name.clone().or_else(|| Some(serving.model.info.id.clone())),
        adapter: own_adapter.or_else(|| now.adapter.clone().filter(|_| brought.core.is_none())),
        space,
        projectors: kept.chain(projectors.clone()).collect(),
    };
    Ok((sources, merge.map(|adapter| Merge { base: now.weights.clone(), adapter })))
}

/// The space that an adapter made: that of the projectors which were trained with it.
fn tuned_space(serving: &Assistant, infos: &BTreeMap<&str, ProjectorInfo>) -> Result<String, ApiError> {
    let old = &serving.model.sources.projectors;
    if let Some(alone) = old.keys().find(|plugin| !infos.contains_key(plugin.as_str())) {
        let words = format!(
            "the adapter comes without a projector for {alone}, and the one that serves was trained beside another adapter: \
             put {alone}.projector.safetensors of the same run into the folder"
        );
        return Err(ApiError::invalid("path", words));
    }
    Ok(infos.values().next().map_or_else(|| serving.model.info.space.clone(), |info| info.space.clone()))
}

/// Refuses projectors into another space than the core's, or of another width than it takes, where that is known. An equal
/// width proves nothing.
fn check_spaces(
    infos: &BTreeMap<&str, ProjectorInfo>,
    space: Option<&str>,
    width: Option<usize>,
) -> Result<(), ApiError> {
    let space = space.unwrap_or("(none)");
    for (plugin, info) in infos {
        if info.space != space {
            let words = format!(
                "the projector for {plugin} was trained into the embedding space {:?}, the core's is {space:?}: only a run \
                 that began with this core and its adapter makes one for it",
                info.space
            );
            return Err(ApiError::invalid("path", words));
        }
        if let Some(width) = width.filter(|width| *width != info.width) {
            let words =
                format!("the projector for {plugin} gives rows {} wide, the core takes {width}", info.width);
            return Err(ApiError::invalid("path", words));
        }
    }
    Ok(())
}

/// The brought projectors by plugin; the one without a name goes to the plugin whose encoder it is for.
fn assigned(
    settings: &Settings,
    serving: &Assistant,
    brought: &Brought,
) -> Result<BTreeMap<String, PathBuf>, ApiError> {
    let mut projectors = brought.projectors.clone();
    if let Some(file) = &brought.projector {
        projectors.insert(plugin_for(serving, &info_of(file)?)?, file.clone());
    }
    let installed = serving.inputs.list();
    for plugin in projectors.keys() {
        let is_known = serving.model.sources.projectors.contains_key(plugin);
        if !is_known && !installed.iter().any(|known| known.id == *plugin) {
            return Err(ApiError::invalid(
                "path",
                format!("a projector is for the plugin {plugin}, which is not installed"),
            ));
        }
        if projector_setting(settings, plugin).is_some() {
            let words = format!(
                "the setting {plugin}.projector names the projector that is used: take the setting away, and start again"
            );
            return Err(ApiError::conflict(words));
        }
    }
    Ok(projectors)
}

fn plugin_for(serving: &Assistant, info: &ProjectorInfo) -> Result<String, ApiError> {
    let now = serving.model.sources.projectors.iter();
    let alike = now.filter(|(_, file)| info_of(file).is_ok_and(|known| known.encoder == info.encoder));
    let alike: Vec<String> = alike.map(|(plugin, _)| plugin.clone()).collect();
    if let [plugin] = alike.as_slice() {
        return Ok(plugin.clone());
    }
    let encodes = |kinds: &[String]| kinds.iter().any(|kind| kind == ENCODER);
    let listed = serving.inputs.list().into_iter();
    let encoders = listed.filter(|plugin| plugin.manifest.as_ref().is_some_and(|it| encodes(&it.kinds)));
    let encoders: Vec<String> = encoders.map(|plugin| plugin.id).collect();
    match encoders.as_slice() {
        [plugin] => Ok(plugin.clone()),
        _ => {
            let words = format!(
                "projector.safetensors is for the encoder {:?}, and it is not clear which of the plugins {encoders:?} has it: \
                 call the file PLUGIN.projector.safetensors",
                info.encoder
            );
            Err(ApiError::invalid("path", words))
        }
    }
}

fn info_of(file: &Path) -> Result<ProjectorInfo, ApiError> {
    let loaded = Projector::load(file, DType::F32, &Device::Cpu).context("reading a projector");
    loaded.map(|projector| projector.info().clone()).map_err(|error| refused(&error))
}

/// What does not keep a candidate from serving, but may be a mistake.
pub(super) fn notices(sources: &Sources, now: &Sources) -> Vec<String> {
    let lost = now.projectors.keys().filter(|plugin| !sources.projectors.contains_key(*plugin));
    let lost = lost.map(|plugin| {
        format!("it brings no projector for {plugin}, and the one that serves is for another space: it will not understand its rows")
    });
    lost.chain(other_base(sources)).collect()
}

/// That an adapter names another base than the weights it runs beside.
fn other_base(sources: &Sources) -> Option<String> {
    let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let base = sources.adapter.as_ref().and_then(|folder| Adapter::base_of(folder).ok());
    let base = base.filter(|base| !base.is_empty())?;
    // A GGUF file is called as its quantisation, its folder as the model.
    let own = [named(&sources.weights), sources.weights.parent().and_then(named)];
    let beside = sources.weights.display();
    (!own.contains(&named(Path::new(&base))))
        .then(|| format!("the adapter says that it was trained on {base}, it runs beside {beside}"))
}
