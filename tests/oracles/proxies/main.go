// Which proxy Go takes to a server, by the environment.
//
// It reads JSON objects, one a line: {"server": …, "variables": {…}}. For each it writes a line of
// JSON: the proxy's URL, empty where there is none.
package main

import (
	"bufio"
	"encoding/json"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
)

type question struct {
	Server    string
	Variables map[string]string
}

func proxy(asked question) string {
	for name, value := range asked.Variables {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}
	server, err := url.Parse(asked.Server)
	if err != nil {
		return err.Error()
	}
	found, err := httpproxy.FromEnvironment().ProxyFunc()(server)
	if err != nil {
		return err.Error()
	}
	if found == nil {
		return ""
	}
	return found.String()
}

func main() {
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUEST_METHOD"} {
		os.Unsetenv(name)
	}
	lines := bufio.NewScanner(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := answers.Encode(proxy(asked)); err != nil {
			panic(err)
		}
	}
}
