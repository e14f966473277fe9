{{- /* Copied from charts/consilia by `make generate`. */ -}}
{{/* "true" where the cluster knows Prometheus's resources. */}}
{{- define "consilia.monitored" -}}
{{- if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}true{{ end -}}
{{- end -}}
