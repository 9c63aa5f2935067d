//! The conversational core. It never knows a modality: it gets parts (tokens or `[n, d]` embeddings) and streams events.

pub mod request;
