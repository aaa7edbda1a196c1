//! What is drawn, so that the targets of the catalogue are what arrives.
//!
//! Written by `cargo run --release -p longhand-link --example calibrate`; do not edit by hand.

use super::Drawn;

pub(super) const METRO_FIBRE_UP: Option<&Drawn> = None;
pub(super) const METRO_FIBRE_DOWN: Option<&Drawn> = None;
pub(super) const CAMPUS_5G_URLLC_UP: Option<&Drawn> = None;
pub(super) const CAMPUS_5G_URLLC_DOWN: Option<&Drawn> = None;
pub(super) const CITY_5G_SA_UP: Option<&Drawn> = None;
pub(super) const CITY_5G_SA_DOWN: Option<&Drawn> = None;
pub(super) const NATIONAL_DEDICATED_UP: Option<&Drawn> = None;
pub(super) const NATIONAL_DEDICATED_DOWN: Option<&Drawn> = None;
pub(super) const BEIJING_SANYA_5G_PUBLIC_UP: Option<&Drawn> = None;
pub(super) const BEIJING_SANYA_5G_PUBLIC_DOWN: Option<&Drawn> = None;
pub(super) const ROME_BEIJING_UP: Option<&Drawn> = None;
pub(super) const ROME_BEIJING_DOWN: Option<&Drawn> = None;
pub(super) const RURAL_5G_NSA_HANDOVER_UP: Option<&Drawn> = None;
pub(super) const RURAL_5G_NSA_HANDOVER_DOWN: Option<&Drawn> = None;
pub(super) const LEO_STARLINK_UP: Option<&Drawn> = None;
pub(super) const LEO_STARLINK_DOWN: Option<&Drawn> = None;
pub(super) const LEO_ISL_UP: Option<&Drawn> = None;
pub(super) const LEO_ISL_DOWN: Option<&Drawn> = None;
pub(super) const GEO_UP: Option<&Drawn> = None;
pub(super) const GEO_DOWN: Option<&Drawn> = None;
pub(super) const HOSPITAL_WIFI_UP: Option<&Drawn> = None;
pub(super) const HOSPITAL_WIFI_DOWN: Option<&Drawn> = None;
pub(super) const HOSPITAL_WIFI_CONGESTED_UP: Option<&Drawn> = None;
pub(super) const HOSPITAL_WIFI_CONGESTED_DOWN: Option<&Drawn> = None;
