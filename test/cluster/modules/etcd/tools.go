//go:build tools

// Package etcd pins the etcd that the test cluster runs: its own go.mod has replace lines, which `go install` refuses.
package etcd

import _ "go.etcd.io/etcd/server/v3"
