package datasource_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// A machine that may be on DigitalOcean or have a config drive finds out which,
// and reads its configuration.
func Example() {
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metadata/v1":
		case "/metadata/v1/user-data":
			fmt.Fprint(w, "#cloud-config\ncoreos:\n  fleet:\n    public-ip: $private_ipv4\n")
		case "/metadata/v1.json":
			fmt.Fprint(w, `{"hostname":"core1","public_keys":["ssh-rsa AAAA me"],"interfaces":{"private":[{"ipv4":{"ip_address":"10.0.0.5"}}]}}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer platform.Close()

	ctx := context.Background()
	client := datasource.NewClient(datasource.ClientOptions{})
	source, err := datasource.Select(ctx, []datasource.Source{
		datasource.ConfigDrive("testdata/there-is-no-drive"),
		datasource.DigitalOcean(client, platform.URL),
	}, datasource.Options{})
	if err != nil {
		log.Fatal(err)
	}
	data, err := source.UserData(ctx)
	if err != nil {
		log.Fatal(err)
	}
	meta, err := source.Metadata(ctx)
	if err != nil {
		log.Fatal(err)
	}
	user, err := cloudconfig.Read(data, meta.Addresses)
	if err != nil {
		log.Fatal(err)
	}
	config := cloudconfig.Merge(user.Config, meta.Config())
	fmt.Println(source.Type())
	fmt.Println(config.Hostname, config.SSHAuthorizedKeys, config.CoreOS.Fleet)
	// Output:
	// digitalocean-metadata-service
	// core1 [ssh-rsa AAAA me] [{FLEET_PUBLIC_IP 10.0.0.5}]
}
