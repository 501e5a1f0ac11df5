module storage-tiers.invalid/oracles/template

go 1.26
