module storage-tiers.invalid/oracles/proxies

go 1.26

require golang.org/x/net v0.38.0

require golang.org/x/text v0.23.0 // indirect
