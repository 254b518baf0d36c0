package bucket

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"dynaferry/internal/fault"
)

// Config is what one S3 side is started with. It travels to the child as JSON over its standard input.
type Config struct {
	// Dir holds everything: buckets below Dir/buckets, old versions and metadata sidecars beside it. It is made.
	Dir string `json:"dir"`
	// Port on 127.0.0.1; 0 picks a free one.
	Port int `json:"port"`
	// AccessKey and SecretKey sign requests; empty ones are drawn once and kept in Dir/keys.json, readable by its owner.
	AccessKey string `json:"accessKey"`
	SecretKey string `json:"secretKey"`
	// Region requests are signed for; "" is us-east-1.
	Region string `json:"region"`
	// Buckets are made once the server answers, if they are missing.
	Buckets []string `json:"-"`
	// Health is the path that answers without a signature; Start draws it, so that no other server can know it.
	Health string `json:"health"`
}

// complete fills what was left open, and checks the rest.
func (c *Config) complete() error {
	if c.Dir == "" {
		return fault.New(fault.User, "the local bucket has no folder")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fault.New(fault.User, "folder %s: %w", c.Dir, err)
	}
	c.Dir = dir
	if c.Port < 0 || c.Port > 65535 {
		return fault.New(fault.User, "port %d is none", c.Port)
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return fault.New(fault.User, "access key and secret key belong together")
	}
	if err := c.makeDirs(); err != nil {
		return err
	}
	if c.AccessKey == "" {
		if err := c.keys(); err != nil {
			return err
		}
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	c.Health = "/health-" + rand.Text()
	return nil
}

// keys takes the kept key pair, or draws and keeps one, so that a visitor's set-up survives a restart.
func (c *Config) keys() error {
	path := filepath.Join(c.Dir, "keys.json")
	pair := struct {
		AccessKey string `json:"accessKey"`
		SecretKey string `json:"secretKey"`
	}{"local" + rand.Text()[:15], rand.Text() + rand.Text()[:14]}
	drawn, err := json.Marshal(pair)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = file.Write(drawn)
		if closed := file.Close(); err == nil {
			err = closed
		}
	} else if errors.Is(err, fs.ErrExist) {
		var kept []byte
		if kept, err = os.ReadFile(path); err == nil && (json.Unmarshal(kept, &pair) != nil || pair.AccessKey == "" || pair.SecretKey == "") {
			return fault.Hint(fault.New(fault.Corrupt, "%s does not hold a key pair", path), "delete the file: a new pair is drawn")
		}
	}
	if err != nil {
		return fmt.Errorf("keep the local bucket's keys: %w", err)
	}
	c.AccessKey, c.SecretKey = pair.AccessKey, pair.SecretKey
	return nil
}

// Folders below Dir.
func (c Config) root() string     { return filepath.Join(c.Dir, "buckets") }
func (c Config) versions() string { return filepath.Join(c.Dir, "versions") }
func (c Config) sidecar() string  { return filepath.Join(c.Dir, "metadata") }

func (c Config) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port)) }

func (c Config) makeDirs() error {
	for _, dir := range []string{c.root(), c.versions(), c.sidecar()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the local bucket's folder: %w", err)
		}
	}
	return nil
}

// freePort asks the system for a port nobody listens on. Somebody may take it before the child does: Start tries again.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
