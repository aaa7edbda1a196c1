//! The bedside robot agent.
