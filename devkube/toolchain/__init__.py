"""Programs that a development machine may lack, built here from Go modules, and stand-ins for two
that exist in no package registry."""
