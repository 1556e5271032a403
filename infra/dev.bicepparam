// A small one to try: it costs next to nothing while idle, and can be deleted without leaving anything behind for long.
using './main.bicep'

param name = 'assay'
param resourceGroupName = 'rg-assay-dev'
param tags = { environment: 'dev' }

// Set by scripts/deploy: the image that it has just built, and who may drop files.
param image = readEnvironmentVariable('ASSAY_IMAGE', '')
param operatorsId = readEnvironmentVariable('ASSAY_OPERATORS_ID', '')
param operatorsType = 'User'

param maxReplicas = 1
param cpu = '0.5'

param openAiAccounts = [
  {
    name: 'main'
    deployments: [
      { name: 'gpt-5.4-mini', version: '2026-03-17', capacity: 50 }
    ]
  }
]

param storageSku = 'Standard_LRS'
param softDeleteDays = 0
param cacheDays = 7
param deleteAfterDays = 30
param keyVaultSoftDeleteDays = 7
param keyVaultPurgeProtection = false
param telemetryDailyGb = 1
param alerts = false
