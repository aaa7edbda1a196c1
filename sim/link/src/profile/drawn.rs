//! What is drawn, so that the targets of the catalogue are what arrives.
//!
//! Written by `cargo run --release -p longhand-link --example calibrate`; do not edit by
//! hand. Each drawn list fits the target of the same name; delays in milliseconds.

use super::{Drawn, Knot};
use longhand_protocol::units::Micros;

pub(super) const METRO_FIBRE_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.514852, at_ms: 0.01 },
        Knot { above: 0.050424, at_ms: 0.05 },
        Knot { above: 0.010042, at_ms: 0.15 },
        Knot { above: 0.00098241, at_ms: 0.5 },
        Knot { above: 9.8212e-5, at_ms: 1.3333 },
        Knot { above: 9.8212e-7, at_ms: 3.0 },
    ],
    correlation: Micros::from_micros(5016),
});

pub(super) const METRO_FIBRE_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.51482, at_ms: 0.01 },
        Knot { above: 0.050475, at_ms: 0.05 },
        Knot { above: 0.010041, at_ms: 0.15 },
        Knot { above: 0.00098443, at_ms: 0.5 },
        Knot { above: 9.7636e-5, at_ms: 1.3333 },
        Knot { above: 9.7636e-7, at_ms: 3.0 },
    ],
    correlation: Micros::from_micros(5011),
});

pub(super) const CAMPUS_5G_URLLC_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.503098, at_ms: 0.18 },
        Knot { above: 0.0508, at_ms: 0.37 },
        Knot { above: 0.011293, at_ms: 0.42 },
        Knot { above: 0.001004, at_ms: 0.43 },
        Knot { above: 0.00010095, at_ms: 0.7867 },
        Knot { above: 1.0095e-6, at_ms: 1.5 },
    ],
    correlation: Micros::from_micros(1992),
});

pub(super) const CAMPUS_5G_URLLC_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.502319, at_ms: 0.22 },
        Knot { above: 0.050667, at_ms: 0.47 },
        Knot { above: 0.0099205, at_ms: 0.53 },
        Knot { above: 0.00099836, at_ms: 1.16 },
        Knot { above: 9.9226e-5, at_ms: 1.7067 },
        Knot { above: 9.9226e-7, at_ms: 2.8 },
    ],
    correlation: Micros::from_micros(1992),
});

pub(super) const CITY_5G_SA_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.998989, at_ms: 0.629 },
        Knot { above: 0.989846, at_ms: 1.2 },
        Knot { above: 0.975657, at_ms: 1.436 },
        Knot { above: 0.949141, at_ms: 1.591 },
        Knot { above: 0.89803, at_ms: 1.763 },
        Knot { above: 0.86123, at_ms: 1.86 },
        Knot { above: 0.744384, at_ms: 2.056 },
        Knot { above: 0.584995, at_ms: 2.27 },
        Knot { above: 0.48991, at_ms: 2.711 },
        Knot { above: 0.43219, at_ms: 2.95 },
        Knot { above: 0.38146, at_ms: 3.121 },
        Knot { above: 0.2882, at_ms: 3.381 },
        Knot { above: 0.23659, at_ms: 3.497 },
        Knot { above: 0.18124, at_ms: 3.639 },
        Knot { above: 0.085308, at_ms: 3.914 },
        Knot { above: 0.035128, at_ms: 4.117 },
        Knot { above: 0.018319, at_ms: 4.241 },
        Knot { above: 0.008766, at_ms: 6.245 },
        Knot { above: 0.00084046, at_ms: 7.985 },
        Knot { above: 1.3138e-5, at_ms: 8.7567 },
        Knot { above: 1.3138e-7, at_ms: 10.3 },
    ],
    correlation: Micros::from_micros(107609),
});

pub(super) const CITY_5G_SA_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.998997, at_ms: 0.345 },
        Knot { above: 0.989798, at_ms: 0.744 },
        Knot { above: 0.949211, at_ms: 1.297 },
        Knot { above: 0.898603, at_ms: 1.553 },
        Knot { above: 0.747015, at_ms: 1.896 },
        Knot { above: 0.49459, at_ms: 2.299 },
        Knot { above: 0.24292, at_ms: 2.76 },
        Knot { above: 0.1924, at_ms: 2.924 },
        Knot { above: 0.13869, at_ms: 3.233 },
        Knot { above: 0.098278, at_ms: 5.081 },
        Knot { above: 0.049604, at_ms: 6.749 },
        Knot { above: 0.0095624, at_ms: 7.84 },
        Knot { above: 0.00054732, at_ms: 8.421 },
        Knot { above: 5.5146e-5, at_ms: 10.314 },
        Knot { above: 5.5146e-7, at_ms: 14.1 },
    ],
    correlation: Micros::from_micros(101674),
});

pub(super) const NATIONAL_DEDICATED_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.5012, at_ms: 0.3 },
        Knot { above: 0.050203, at_ms: 0.9 },
        Knot { above: 0.0096761, at_ms: 2.0 },
        Knot { above: 0.00088447, at_ms: 6.0 },
        Knot { above: 9.1709e-5, at_ms: 10.6667 },
        Knot { above: 9.1709e-7, at_ms: 20.0 },
    ],
    correlation: Micros::from_micros(49822),
});

pub(super) const NATIONAL_DEDICATED_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.501218, at_ms: 0.3 },
        Knot { above: 0.050135, at_ms: 0.9 },
        Knot { above: 0.0097251, at_ms: 2.0 },
        Knot { above: 0.00092902, at_ms: 6.0 },
        Knot { above: 8.8009e-5, at_ms: 10.6667 },
        Knot { above: 8.8009e-7, at_ms: 20.0 },
    ],
    correlation: Micros::from_micros(49926),
});

pub(super) const BEIJING_SANYA_5G_PUBLIC_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49861, at_ms: 8.0 },
        Knot { above: 0.040839, at_ms: 22.0 },
        Knot { above: 0.0049629, at_ms: 40.0 },
        Knot { above: 0.00036489, at_ms: 90.0 },
        Knot { above: 3.0875e-5, at_ms: 143.3333 },
        Knot { above: 3.0875e-7, at_ms: 250.0 },
    ],
    correlation: Micros::from_micros(117767),
});

pub(super) const BEIJING_SANYA_5G_PUBLIC_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49952, at_ms: 6.0 },
        Knot { above: 0.041528, at_ms: 18.0 },
        Knot { above: 0.0055706, at_ms: 35.0 },
        Knot { above: 0.00037483, at_ms: 80.0 },
        Knot { above: 3.0318e-5, at_ms: 136.6667 },
        Knot { above: 3.0318e-7, at_ms: 250.0 },
    ],
    correlation: Micros::from_micros(118461),
});

pub(super) const ROME_BEIJING_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.500501, at_ms: 2.5 },
        Knot { above: 0.048273, at_ms: 6.0 },
        Knot { above: 0.0064435, at_ms: 12.0 },
        Knot { above: 0.000429, at_ms: 40.0 },
        Knot { above: 3.7926e-5, at_ms: 76.6667 },
        Knot { above: 3.7926e-7, at_ms: 150.0 },
    ],
    correlation: Micros::from_micros(99123),
});

pub(super) const ROME_BEIJING_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.500544, at_ms: 2.5 },
        Knot { above: 0.048373, at_ms: 6.0 },
        Knot { above: 0.0065807, at_ms: 12.0 },
        Knot { above: 0.00046261, at_ms: 40.0 },
        Knot { above: 3.8291e-5, at_ms: 76.6667 },
        Knot { above: 3.8291e-7, at_ms: 150.0 },
    ],
    correlation: Micros::from_micros(99445),
});

pub(super) const RURAL_5G_NSA_HANDOVER_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49285, at_ms: 9.0 },
        Knot { above: 0.028188, at_ms: 35.0 },
        Knot { above: 0.0022838, at_ms: 90.0 },
        Knot { above: 4.0433e-5, at_ms: 300.0 },
        Knot { above: 4.3137e-6, at_ms: 866.6667 },
        Knot { above: 4.3137e-8, at_ms: 2000.0 },
    ],
    correlation: Micros::from_micros(139700),
});

pub(super) const RURAL_5G_NSA_HANDOVER_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49714, at_ms: 6.0 },
        Knot { above: 0.031976, at_ms: 25.0 },
        Knot { above: 0.0030534, at_ms: 70.0 },
        Knot { above: 1.9377e-5, at_ms: 250.0 },
        Knot { above: 6.6955e-6, at_ms: 833.3333 },
        Knot { above: 6.6955e-8, at_ms: 2000.0 },
    ],
    correlation: Micros::from_micros(142301),
});

pub(super) const LEO_STARLINK_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.48682, at_ms: 4.0 },
        Knot { above: 0.033644, at_ms: 20.0 },
        Knot { above: 0.0028611, at_ms: 38.0 },
        Knot { above: 0.0003057, at_ms: 90.0 },
        Knot { above: 2.7932e-5, at_ms: 126.6667 },
        Knot { above: 2.7932e-7, at_ms: 200.0 },
    ],
    correlation: Micros::from_micros(56699),
});

pub(super) const LEO_STARLINK_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49399, at_ms: 3.0 },
        Knot { above: 0.038776, at_ms: 15.0 },
        Knot { above: 0.0030397, at_ms: 28.0 },
        Knot { above: 0.00041882, at_ms: 75.0 },
        Knot { above: 3.2234e-5, at_ms: 103.3333 },
        Knot { above: 3.2234e-7, at_ms: 160.0 },
    ],
    correlation: Micros::from_micros(57922),
});

pub(super) const LEO_ISL_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.44789, at_ms: 10.0 },
        Knot { above: 0.024743, at_ms: 40.0 },
        Knot { above: 0.0018961, at_ms: 70.0 },
        Knot { above: 0.00017074, at_ms: 150.0 },
        Knot { above: 1.5517e-5, at_ms: 216.6667 },
        Knot { above: 1.5517e-7, at_ms: 350.0 },
    ],
    correlation: Micros::from_micros(52030),
});

pub(super) const LEO_ISL_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.44784, at_ms: 10.0 },
        Knot { above: 0.024956, at_ms: 40.0 },
        Knot { above: 0.0019151, at_ms: 70.0 },
        Knot { above: 0.00018319, at_ms: 150.0 },
        Knot { above: 1.4862e-5, at_ms: 216.6667 },
        Knot { above: 1.4862e-7, at_ms: 350.0 },
    ],
    correlation: Micros::from_micros(52225),
});

pub(super) const GEO_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.30638, at_ms: 5.0 },
        Knot { above: 0.06379, at_ms: 25.0 },
        Knot { above: 0.0056206, at_ms: 50.0 },
        Knot { above: 0.00035645, at_ms: 110.0 },
        Knot { above: 2.8345e-5, at_ms: 203.3333 },
        Knot { above: 2.8345e-7, at_ms: 400.0 },
    ],
    correlation: Micros::from_micros(240195),
});

pub(super) const GEO_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49654, at_ms: 15.0 },
        Knot { above: 0.043985, at_ms: 40.0 },
        Knot { above: 0.0062285, at_ms: 60.0 },
        Knot { above: 0.00034083, at_ms: 120.0 },
        Knot { above: 2.7636e-5, at_ms: 213.3333 },
        Knot { above: 2.7636e-7, at_ms: 400.0 },
    ],
    correlation: Micros::from_micros(197802),
});

pub(super) const HOSPITAL_WIFI_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49588, at_ms: 1.5 },
        Knot { above: 0.031667, at_ms: 7.5 },
        Knot { above: 0.0018382, at_ms: 20.0 },
        Knot { above: 0.00012618, at_ms: 75.0 },
        Knot { above: 1.1322e-5, at_ms: 133.3333 },
        Knot { above: 1.1322e-7, at_ms: 250.0 },
    ],
    correlation: Micros::from_micros(27627),
});

pub(super) const HOSPITAL_WIFI_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.49584, at_ms: 1.5 },
        Knot { above: 0.031826, at_ms: 7.5 },
        Knot { above: 0.0018235, at_ms: 20.0 },
        Knot { above: 0.0001286, at_ms: 75.0 },
        Knot { above: 1.0062e-5, at_ms: 133.3333 },
        Knot { above: 1.0062e-7, at_ms: 250.0 },
    ],
    correlation: Micros::from_micros(27645),
});

pub(super) const HOSPITAL_WIFI_CONGESTED_UP: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.47491, at_ms: 3.0 },
        Knot { above: 0.020505, at_ms: 15.0 },
        Knot { above: 0.0008732, at_ms: 40.0 },
        Knot { above: 5.5298e-5, at_ms: 150.0 },
        Knot { above: 5.4617e-6, at_ms: 266.6667 },
        Knot { above: 5.4617e-8, at_ms: 500.0 },
    ],
    correlation: Micros::from_micros(25203),
});

pub(super) const HOSPITAL_WIFI_CONGESTED_DOWN: Option<&Drawn> = Some(&Drawn {
    knots: &[
        Knot { above: 0.47476, at_ms: 3.0 },
        Knot { above: 0.020774, at_ms: 15.0 },
        Knot { above: 0.00087418, at_ms: 40.0 },
        Knot { above: 5.2884e-5, at_ms: 150.0 },
        Knot { above: 4.8563e-6, at_ms: 266.6667 },
        Knot { above: 4.8563e-8, at_ms: 500.0 },
    ],
    correlation: Micros::from_micros(25252),
});
