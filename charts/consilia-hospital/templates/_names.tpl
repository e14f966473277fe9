{{- /* Copied from charts/consilia by `make generate`. */ -}}
{{/* What the operator's objects are called. */}}
{{- define "consilia.operator" -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- end -}}

{{/* Objects of the whole cluster carry the namespace in their name: two releases may share a name. */}}
{{- define "consilia.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "consilia.operator" .) -}}
{{- end -}}

{{- define "consilia.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "consilia.operator" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* What the operator's pods are found by; never changes, since a Deployment's selector cannot. */}}
{{- define "consilia.selector" -}}
app.kubernetes.io/name: consilia
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "consilia.labels" -}}
{{- $own := fromYaml (include "consilia.selector" .) -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "consilia" -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/* Name, labels and annotations of an object in the release's namespace: (dict "root" . "name" NAME "labels" MORE "annotations" MORE) */}}
{{- define "consilia.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
{{- include "consilia.marks" . }}
{{- end -}}

{{/* The same of an object of the whole cluster. */}}
{{- define "consilia.clusterMetadata" -}}
name: {{ .name | quote }}
{{- include "consilia.marks" . }}
{{- end -}}

{{- define "consilia.marks" }}
labels:
  {{- merge (fromYaml (include "consilia.labels" .root)) (.labels | default dict) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* One image as a node fetches it: (dict "root" . "image" VALUES) */}}
{{- define "consilia.image" -}}
{{- $name := .image.repository -}}
{{- with .root.Values.images.registry }}{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
