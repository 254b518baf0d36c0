// Package console shows a follower to machines that watch it: /metrics in Prometheus' text format, /healthz.
//
// It hides one decision: how numbers are named outside. It listens on addresses of this machine only, unless asked for
// another by name. It imports job and fault; cli starts it.
//
//	stop, err := console.Serve(ctx, "127.0.0.1:9464", follower)
package console
