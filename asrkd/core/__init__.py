"""What every room stands on: errors, configuration, stages, archives, data dirs. Imports nothing of the rest."""
