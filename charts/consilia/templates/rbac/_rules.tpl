{{/* What the operator may do in a namespace that it looks after. No wildcards, no watch on Secrets, nothing that runs
     inside a pod. */}}
{{- define "consilia.rules" -}}
- apiGroups: [consilia.dev]
  resources: [federatedjobs, hospitals, datasets, hospitaltasks]
  verbs: [get, list, watch]
- apiGroups: [consilia.dev]
  resources: [federatedjobs/status, hospitals/status, datasets/status, hospitaltasks/status]
  verbs: [patch]
- apiGroups: [consilia.dev]
  resources: [hospitaltasks]
  verbs: [create, patch, delete]
# runPolicy.ttlSecondsAfterFinished.
- apiGroups: [consilia.dev]
  resources: [federatedjobs]
  verbs: [delete]
# Owner references that block deletion, where the cluster enforces who may set them.
- apiGroups: [consilia.dev]
  resources: [federatedjobs/finalizers, datasets/finalizers, hospitaltasks/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The heartbeat comes back through a watch of the same width as all others.
- apiGroups: [""]
  resources: [podtemplates]
  verbs: [list, watch]
# What it makes goes with its owner, so it need not delete; but a Job that must change is made anew.
- apiGroups: [""]
  resources: [secrets, configmaps, services]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, create]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- $strimzi := .Values.rbac.strimzi }}
{{- if or (eq $strimzi "Enabled") (and (eq $strimzi "Auto") (.Capabilities.APIVersions.Has "kafka.strimzi.io/v1")) }}
- apiGroups: [kafka.strimzi.io]
  resources: [kafkas, kafkanodepools, kafkausers, kafkatopics]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- if eq .Values.operator.certificates.issuing "CertManager" }}
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, create, patch]
{{- end }}
{{- end -}}

{{- define "consilia.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "consilia.serviceAccount" . | quote }}
    namespace: {{ .Release.Namespace | quote }}
{{- end -}}
