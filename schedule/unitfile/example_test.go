package unitfile_test

import (
	"fmt"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

func ExampleRead() {
	f, err := unit.Parse([]byte(`
[Service]
ExecStart=/usr/bin/web
MemoryMax=2G

[X-Fleet]
CPU=500m
Require=disk=ssd
Conflicts=%p@*.service
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	web, _, err := unitfile.Read("web@1.service", f, unitfile.Estimate)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := schedule.Compute(schedule.Cluster{
		Machines: []schedule.Machine{
			{ID: "m1", Metadata: map[string]string{"disk": "hdd"}},
			{ID: "m2", Metadata: map[string]string{"disk": "ssd"}},
		},
		Units: []schedule.Unit{web},
	}, schedule.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("requests", web.Request.CPU, "estimate", web.Estimate.Memory>>20)
	fmt.Print(plan)
	// Output:
	// requests 500 estimate 2048
	// 0 web@1.service - -> m2 new
}
